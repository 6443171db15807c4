"""Layer 7: the asyncio shell around the runtime, and the nodes and hosts of its users."""
