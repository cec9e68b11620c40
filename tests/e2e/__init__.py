"""Whole calls through the four real processes."""
