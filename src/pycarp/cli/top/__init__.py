"""``pycarp top``: all hosts of the running daemons on a terminal, as they change."""
