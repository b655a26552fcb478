"""Simulated scans."""
