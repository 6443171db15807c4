"""Layer 5: explains captured packets to people. Pure; the engine does not use it."""
