"""Figures of merit as pure functions."""
