"""Layer 9: finds out what of a machine and its network keeps virtual hosts from working, and how to mend it.

Facts are read first, and judged by pure functions; nothing is changed.
"""
