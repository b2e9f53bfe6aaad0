"""The app: pages of models, nights and tables, served to browsers by Bokeh's server."""
