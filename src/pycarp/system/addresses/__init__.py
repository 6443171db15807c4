"""The shared addresses of virtual hosts on this machine, and the machine's own addresses."""
