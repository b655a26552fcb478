"""Training a network with Lightning."""
