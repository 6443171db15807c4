"""What a probe finds."""

from pycarp.health import Check, Finding, Probe, look


async def finding_of(probe: Probe, *, timeout_s: float = 30) -> Finding:
    """Run a probe once, as a check does."""
    return await look(Check(name="probe", probe=probe, timeout_s=timeout_s))
