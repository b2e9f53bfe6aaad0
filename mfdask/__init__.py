"""mfdask learns a rating model from tens of millions of ratings on one workstation."""

__version__ = "0.1.0"
