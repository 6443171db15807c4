"""Layer 9: runs the three hosts in network namespaces."""
