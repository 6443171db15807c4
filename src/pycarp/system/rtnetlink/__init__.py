"""rtnetlink: requests, messages and the sockets that carry them; no pyroute2."""
