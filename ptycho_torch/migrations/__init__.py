"""Versions of every format that is written, and what makes a file of an older version one of the present version."""
