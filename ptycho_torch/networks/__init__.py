"""Networks that turn a pattern into an object patch."""
