"""What a daemon has on this machine, noted before it is done, and removed after one that died."""
