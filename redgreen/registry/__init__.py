"""What the selector map says, and how it is read."""
