"""Scans: patterns with positions and probe, checked, in one convention, and grouped by neighbourhood."""
