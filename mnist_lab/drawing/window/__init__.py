"""The window to draw in."""
