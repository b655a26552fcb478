"""Scans: reading, checking, grouping and batching measured data."""
