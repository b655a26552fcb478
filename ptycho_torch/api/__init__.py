"""Import paths that clients know; nothing in the package imports them."""
