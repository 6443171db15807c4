"""``pycarp while-master``: run a command while a host is MASTER."""
