"""``pycarp replay``: a recording happens again, is walked through, explained, and becomes a test."""
