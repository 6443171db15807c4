"""Layer 2: keys, digests and counters; what makes an advertisement believable."""
