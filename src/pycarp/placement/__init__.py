"""Where virtual hosts belong: the decisions of failback policies and sync groups, without a clock, a task or a log.

``pycarp.failback`` and ``pycarp.groups`` carry them out on hosts that run; the simulator does in simulated time.
"""
