"""The settings of a whole node, under the names of the sysctls."""

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The sysctls ``net.inet.carp.*`` that elections depend on. Source: carp.md 6.1.

    Without ``allow``, received advertisements are counted and ignored, and hosts still send their own (measured on
    NetBSD); hosts of dialect ``freebsd`` go to INIT, as if the link were down (carp.md 14). ``preempt`` is or-ed with
    each host's own. ``senderr_demotion_factor`` is the demotion for three send errors in a row,
    ``ifdown_demotion_factor`` the demotion for each virtual host on a link that is down; None means that of the host's
    dialect. A host whose addresses other programs change ``external_change_limit`` times within a minute demotes
    itself; 0 for never.
    """

    allow: bool = True
    preempt: bool = False
    senderr_demotion_factor: int | None = None
    ifdown_demotion_factor: int | None = None
    external_change_limit: int = 5
