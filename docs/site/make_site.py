"""Build the documentation site."""

from __future__ import annotations


def gather_pages() -> dict[str, str]:
    """Gather all pages: path on the site to text."""
    return {}
