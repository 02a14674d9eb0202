"""Pages of results, and the index of all folders."""
