"""``pycarp simulate``: plans trials for the simulator, and reports their results."""
