"""By which name a request addresses the daemon: an address, the loopback's name, or one that ``[http]`` lists.

A foreign page can have its own name resolved to the daemon's address (DNS rebinding), and its scripts would
then read the answers as their own. A browser says by which name it asks, and nobody can have an address resolved.
"""

from collections.abc import Collection, Iterable
from ipaddress import ip_address

_SHOWN_MOST = 80
_LOOPBACK = "localhost"


def refused_name(said: Iterable[str], names: Collection[str]) -> str | None:
    """Return the name of a request that is not the daemon's, None if there is none.

    ``said`` are the values of its Host headers, and the authority of its target where it has one; who says nothing is
    no browser. ``names`` are those of ``[http]``.
    """
    for each in said:
        name = _without_port(each.strip()).lower().removesuffix(".")
        if name and not (_is_address(name) or _is_loopback(name) or name in names):
            return name
    return None


def refusal(name: str) -> str:
    """Return the answer to a request with a name that is not the daemon's, on one line."""
    shown = "".join(each if each.isascii() and each.isprintable() else "?" for each in name[:_SHOWN_MOST])
    return (
        f'"{shown}" is no name of this daemon, so a page of somebody else may be asking; use its address, '
        f'or add the name to its configuration: [http] names = ["{shown}"]'
    )


def _without_port(authority: str) -> str:
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition(":")[0]


def _is_loopback(name: str) -> bool:
    """Return whether a name is the loopback's, which browsers ask nobody for; source: RFC 6761, section 6.3."""
    return name == _LOOPBACK or name.endswith(f".{_LOOPBACK}")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
