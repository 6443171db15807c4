"""Journals of what daemons change on this machine, the locks of their hosts, and the clean-up after a dead daemon."""
