"""``pycarp replay``: repeats a recording, steps through it, explains it, and makes a test of it."""
