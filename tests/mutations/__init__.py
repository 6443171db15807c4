"""Ways to break pycarp on purpose, to see whether somebody notices: ``python -m tests.mutations``."""
