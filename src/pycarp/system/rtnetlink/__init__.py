"""rtnetlink without pyroute2: requests, messages, and the sockets that carry them."""
