"""The three networks, and where and how they compute."""
