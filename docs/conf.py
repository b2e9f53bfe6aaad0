"""How Sphinx makes a site of these pages: ``make docs``."""

from mfdask import __version__

project = "mfdask"
release = version = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["pypi.md"]  # the page of a package index
myst_heading_anchors = 4  # links to headings are those that work in the repository, too
numpydoc_show_class_members = False
autodoc_preserve_defaults = True  # by their names, where they have one
autodoc_typehints = "none"  # the docstrings say the types
autodoc_member_order = "bysource"
highlight_language = "text"
html_theme = "furo"
html_title = f"mfdask {version}"
html_favicon = "images/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = html_show_copyright = False
