"""From a trained network to an object and its pictures."""
