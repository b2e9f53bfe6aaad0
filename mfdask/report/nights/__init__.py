"""Tables and figures of the nights."""
