"""Two machines that run the daemon with the configuration of a recipe."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pycarp.lab.lab_network import Segment
from tests.recipes.pages import hosts_of
from tests.support.daemons import Pycarp, new_segment, wait_until

HOSTS = {"a": "192.0.2.1/24", "b": "192.0.2.2/24", "client": "192.0.2.9/24"}
STARTED_S = 30.0
"""Generous, for machines that have other work."""


class Pair(NamedTuple):
    """The MASTER and the BACKUP, each with its name."""

    segment: Segment
    folder: Path
    a: Pycarp
    b: Pycarp


@contextlib.contextmanager
def pair(
    page: str,
    folder: Path,
    *,
    first: Mapping[str, str] | None = None,
    second: Mapping[str, str] | None = None,
    segment: Segment | None = None,
    name: str = "the hosts",
) -> Iterator[Pair]:
    """Start the daemon on a and b with the configuration of a page, and wait until a is MASTER and b is BACKUP.

    ``first`` and ``second`` are texts of the page, and what they are on that machine; ``name`` is that of its block.
    """
    with (
        contextlib.nullcontext(segment) if segment else new_segment(**HOSTS) as wired,
        Pycarp(wired, "a", folder, toml=hosts_of(page, folder, first, name=name)) as a,
        Pycarp(wired, "b", folder, toml=hosts_of(page, folder, second, is_second=True, name=name)) as b,
    ):
        # A host whose checks have not passed leaves the address to one whose checks have.
        wait_until(lambda: all(passes_checks(each) for each in (a, b)), STARTED_S)
        a.become_master(STARTED_S)
        yield Pair(wired, folder, a, b)


def passes_checks(daemon: Pycarp) -> bool:
    """Return whether all checks of the host of a daemon pass; False while the daemon is not up."""
    return daemon.is_in("BACKUP", "MASTER") and all(each.passes for each in daemon.status.checks)
