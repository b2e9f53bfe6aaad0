"""Reports: an HTML page of figures of data and models."""
