"""Checks the arguments of calls to a node or a host, so that a mistake fails at the call and not later in the engine.

Every error names the value, the bound and the way out.
"""

from pycarp.core.checks import check_flag
from pycarp.core.engine import FULL_DEMOTION
from pycarp.core.restriction import Restriction
from pycarp.core.settings import Settings
from pycarp.core.state import State
from pycarp.errors import ConfigError

AMOUNT_MAX = 2**31 - 1
"""The limit of ``net.inet.carp.demotion``; hosts advertise at most 240."""


def state_named(state: object) -> State:
    """Return a State, given as such or by its value, as ``"MASTER"``; raises ConfigError for anything else."""
    if isinstance(state, str) and state in tuple(State):
        return State(state)
    raise ConfigError(f"state {state!r} is none of {', '.join(State)}; pass one of pycarp.State")


def restriction_named(restriction: object) -> Restriction:
    """Return a Restriction, given as such or by its value, as ``"backup-only"``; raises ConfigError otherwise."""
    if isinstance(restriction, str) and restriction in tuple(Restriction):
        return Restriction(restriction)
    raise ConfigError(
        f"restriction {restriction!r} is none of {', '.join(Restriction)}; pass one of pycarp.Restriction"
    )


def check_cause(cause: object) -> None:
    """Raise ConfigError unless a cause of demotion or restriction is a text that is not blank."""
    if not isinstance(cause, str) or not cause.strip():
        raise ConfigError(f"cause {cause!r} is not a text that says why; pass one such as 'replication lags'")


def check_amount(amount: object) -> None:
    """Raise ConfigError unless a demotion is a whole number within the limit."""
    # isinstance would accept a bool; a float would fail later, when it is advertised.
    if type(amount) is not int:
        raise ConfigError(f"demotion by={amount!r} is not a whole number; pass an int such as 100")
    if not -AMOUNT_MAX <= amount <= AMOUNT_MAX:
        raise ConfigError(f"demotion by={amount} is outside {-AMOUNT_MAX}-{AMOUNT_MAX}; 240 and more mean the same")


def demotion_amount(cause: object, by: int | None, *, last: bool) -> int:
    """Return by how much a cause demotes.

    Raises ConfigError if the cause is not a text, the amount is not a whole number, or not one of both is given.
    """
    check_cause(cause)
    check_flag("last", last)
    if (by is None) is not last:
        raise ConfigError(f"demotion by={by!r} with last={last!r}; pass either by=, such as 100, or last=True")
    amount = FULL_DEMOTION if by is None else by
    check_amount(amount)
    return amount


def check_group(group: object) -> None:
    """Raise ConfigError unless a value is the name of an interface group, or None."""
    if group is not None and (not isinstance(group, str) or not group):
        raise ConfigError(f"group {group!r} is not the name of an interface group; leave it out to mean all hosts")


def check_count(name: str, value: object) -> None:
    """Raise ConfigError unless a value is a whole number from 0 on."""
    if type(value) is not int or not 0 <= value <= AMOUNT_MAX:
        raise ConfigError(f"{name} {value!r} is not a whole number from 0 to {AMOUNT_MAX}")


def check_settings(settings: object) -> None:
    """Raise ConfigError unless these are legal settings of a node."""
    if not isinstance(settings, Settings):
        raise ConfigError(f"settings {settings!r} are not pycarp.Settings; pass Settings() for those of the dialect")
    check_flag("allow", settings.allow)
    check_flag("preempt", settings.preempt)
    check_count("external_change_limit", settings.external_change_limit)
    for name in ("senderr_demotion_factor", "ifdown_demotion_factor"):
        if getattr(settings, name) is not None:
            check_count(name, getattr(settings, name))
