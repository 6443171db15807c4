"""Layer 5: what we ask of the operating system, beside packets."""
