"""What a user may take next, out of all items."""
