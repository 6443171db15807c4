"""Bounds of what administrators ask of hosts: by how much a demotion is, and how long a drain or a demotion lasts."""

from pycarp.core.checks import check_span
from pycarp.core.engine import FULL_DEMOTION
from pycarp.errors import UsageError

MOST_S = 366 * 24 * 3600
"""The longest time after which a drain or a demotion ends by itself."""

TIMEOUT_MOST_S = 60.0
"""The longest time for which a drain waits for the next host."""


def check_demotion(amount: int) -> None:
    """Raise UsageError unless an administrator may demote by an amount."""
    if not 1 <= amount <= FULL_DEMOTION:
        raise UsageError(
            f"--by {amount} is outside 1-{FULL_DEMOTION}; pycarp restore ends a demotion, and a lower advskew makes a "
            "host preferred"
        )


def check_time(for_s: float | None) -> None:
    """Raise ConfigError unless a time after which a demotion ends can be waited for; None is for always."""
    if for_s is not None:
        check_span("--for", for_s, most_s=MOST_S)


def check_timeout(timeout_s: float) -> None:
    """Raise ConfigError unless a drain may wait for so long."""
    check_span("--timeout", timeout_s, most_s=TIMEOUT_MOST_S)
