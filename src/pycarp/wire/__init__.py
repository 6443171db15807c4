"""Layer 1: octets to values and back; pure, no sockets."""
