"""A trained network: build it, predict with it, keep it in checkpoints and bundles."""
