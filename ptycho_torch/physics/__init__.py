"""The forward model: object, probe and positions to expected photon counts.

Functions of tensors. Conventions (axis order, centring, units) are in `docs/conventions.md`.
"""
