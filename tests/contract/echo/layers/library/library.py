"""A layer with something in it."""
