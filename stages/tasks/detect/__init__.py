"""Detection: boxes around things, and what they are."""
