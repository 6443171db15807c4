"""``pycarp simulate``: what it asks of the simulator, and how the answers look."""
