"""Floor 9: the three hosts for real, in network namespaces."""
