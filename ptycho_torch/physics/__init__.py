"""The forward model: object, probe and positions to expected photon counts.

Plain functions of tensors. Conventions (axis order, centring, units) stand in `docs/conventions.md`.
"""
