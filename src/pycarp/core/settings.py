"""The switches that hold for a whole node, under the names of the sysctls."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``net.inet.carp.*`` as far as elections depend on it. Source: carp.md 6.1.

    With ``allow`` off, advertisements are counted and ignored, while our own are still sent (measured on NetBSD); with
    dialect ``freebsd`` hosts are in INIT then, as with a link that is down (carp.md 14). ``preempt`` is or-ed with each
    host's own. ``senderr_demotion_factor`` is how far three send errors in a row demote the node,
    ``ifdown_demotion_factor`` how far each virtual host on a link that is down does; None leaves both to the dialect of
    the host. A host whose addresses others change ``external_change_limit`` times within a minute demotes itself; 0 for
    never.
    """

    allow: bool = True
    preempt: bool = False
    senderr_demotion_factor: int | None = None
    ifdown_demotion_factor: int | None = None
    external_change_limit: int = 5
