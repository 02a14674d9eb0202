"""The networks, and where and how they compute."""
