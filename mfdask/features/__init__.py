"""Features of items, from their genres or from a file."""
