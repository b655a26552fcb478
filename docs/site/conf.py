"""Settings of Sphinx."""

from __future__ import annotations

import inspect
import re
from typing import Any

import ptycho_torch

project = "ptycho_torch"
author = "The ptycho_torch developers"
copyright = author
version = release = ptycho_torch.__version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
root_doc = "index"
language = "en_GB"
default_role = "code"
# annotations name classes without their modules; two of one name are no broken link
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_title = f"ptycho_torch {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = [("Attributes", "params_style")]

# tutorials are kept without outputs and executed whenever the site is built
nb_execution_mode = "force"
nb_execution_timeout = 300
nb_execution_raise_on_error = True
nb_merge_streams = True

_CODE = re.compile(r"(`[^`]+`)")
# reStructuredText wants a sign between code and what follows
_CLOSE = re.compile(r"(`[^`]+`)(?=[^\s.,;:!?)\]}'\"/`-])")


def mark_up_docstring(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:  # noqa: ANN401
    """Escape what docstrings, which are plain text with code between backticks, do not mean as markup."""
    parts = _CODE.split("\n".join(lines))
    text = "".join(part if part.startswith("`") else re.sub(r"([*|])", r"\\\1", part) for part in parts)
    lines[:] = _CLOSE.sub(r"\1\\ ", text).split("\n")


def skip_inherited(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:  # noqa: ANN401
    """Leave out functions of other packages, which matplotlib adds to classes of artists; otherwise no opinion."""
    return True if inspect.isfunction(value) and not value.__module__.startswith("ptycho_torch") else None


def setup(app: Any) -> None:  # noqa: ANN401
    """Connect the above; it runs before Napoleon."""
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("autodoc-process-docstring", mark_up_docstring, priority=100)
