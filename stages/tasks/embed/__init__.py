"""A vector for each sample: near for the same, far for others."""
