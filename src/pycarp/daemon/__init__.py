"""Layer 9: one process that runs a node from a configuration and answers on a control socket."""
