"""Two machines that run the daemon with the configuration of a recipe."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from pycarp.lab.topology import Segment
from tests.recipes.pages import hosts_of
from tests.support.daemons import Pycarp, new_segment, wait_until

HOSTS = {"a": "192.0.2.1/24", "b": "192.0.2.2/24", "client": "192.0.2.9/24"}
STARTED_S = 15.0


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
) -> Iterator[Pair]:
    """Start the daemon on a and b with the configuration of a page, and wait until a is MASTER and b is BACKUP.

    ``first`` and ``second`` are texts of the page, and what they are on that machine.
    """
    with (
        contextlib.nullcontext(segment) if segment else new_segment(**HOSTS) as wired,
        Pycarp(wired, "a", folder, toml=hosts_of(page, folder, first)) as a,
        Pycarp(wired, "b", folder, toml=hosts_of(page, folder, second, is_second=True)) as b,
    ):
        wait_until(lambda: b.is_in("BACKUP"), STARTED_S)
        a.become_master(STARTED_S)
        yield Pair(wired, folder, a, b)
