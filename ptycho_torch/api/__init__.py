"""Contracts of other programs: their names, their vocabulary, their files. Nothing inside the package imports it."""
