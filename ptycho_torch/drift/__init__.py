"""Drift: whether scans are still like those that a network was trained for, and whether it matters if not."""
