"""Trained networks as folders that are handed on: every usual form of the weights, a model card, checksums."""
