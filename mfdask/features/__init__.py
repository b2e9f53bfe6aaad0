"""Numbers that describe items, from their genres or from a file."""
