"""Builds the documentation: ``sphinx-build -W -c docs . build/docs``.

The sources are the pages of ``docs/``, the records of ``benchmarks/records/`` and the pages at the top of the
repository, so that each relative link works here and in a file browser.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from explorer import __version__  # noqa: E402

project = "explorer"
author = "The explorer's developers"
copyright = "2026, the explorer's developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
]
root_doc = "docs/index"
include_patterns = ["docs/**", "benchmarks/records/*.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = ["docs/generate.py", "docs/conf.py", "docs/images"]
nitpicky = True
# Types that a docstring or a signature names and that have no page: they come from other packages or are private.
nitpick_ignore_regex = [("py:.*", ".*")]
suppress_warnings = ["toc.not_included"]  # records and decisions are reached by links

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]
copybutton_exclude = ".linenos, .gp, .go"

autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "undoc-members": False, "show-inheritance": False}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # else each attribute of a docstring and of the class is described twice

html_theme = "pydata_sphinx_theme"
html_title = "explorer"
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": ["page-toc"],
}
html_show_sourcelink = False
