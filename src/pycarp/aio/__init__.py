"""Floor 7: the asyncio shell around the runtime, and what its users hold."""
