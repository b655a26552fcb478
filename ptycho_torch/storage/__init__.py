"""Atomic writes, and untrusted files read with one definition of damage and one set of limits."""
