"""Pictures of data and models, and the page that holds them."""
