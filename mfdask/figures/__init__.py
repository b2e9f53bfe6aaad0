"""What a figure is and how it looks, alone, in a report or on a live page."""
