"""Floor 7: the asyncio shell around the engine; the only one."""
