"""The page of all settings, written from the schema."""

from __future__ import annotations


def make_settings() -> str:
    """Describe every setting by section: values, default and meaning."""
    return ""
