"""Bokeh figures and their style, for reports and live pages."""
