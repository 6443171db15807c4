"""The process that drops addresses and bows out when the daemon is dead or frozen."""
