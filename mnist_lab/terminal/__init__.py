"""The terminal: prompts, progress, and numbers as people read them."""
