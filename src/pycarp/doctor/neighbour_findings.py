"""Judges the neighbour table of this machine, which is a client of the shared addresses as well."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pycarp.doctor.finding import Finding, Severity
from pycarp.doctor.program_path import PROGRAM_PATH
from pycarp.vocabulary import Address

_IP_S = 10
_FIXED = frozenset({"PERMANENT", "NOARP"})


def read(interface: str) -> object:
    """Return what ``ip -j neigh show`` prints for an interface; an empty list if it cannot tell."""
    program = shutil.which("ip", path=PROGRAM_PATH)
    if program is None:
        return []
    try:
        done = subprocess.run(  # noqa: S603  a fixed command
            [program, "-j", "neigh", "show", "dev", interface],
            capture_output=True,
            text=True,
            timeout=_IP_S,
            check=False,
        )
        return json.loads(done.stdout or "[]")
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return []


def findings(interface: str, shared: Iterable[Address], listing: object) -> Iterator[Finding]:
    """Yield the entries for shared addresses that no ARP changes."""
    wanted = set(map(str, shared))
    for entry in listing if isinstance(listing, list) else ():
        if isinstance(entry, dict) and entry.get("dst") in wanted and _is_fixed(entry):
            yield Finding(
                kind="fixed-neighbour",
                severity=Severity.WARNING,
                subject=interface,
                words=f"the neighbour table has {entry['dst']} fixed at {entry.get('lladdr', 'no MAC address')}",
                reason="after another host became MASTER this machine still sends to the old one",
                command=f"ip neigh del {entry['dst']} dev {interface}",
            )


def _is_fixed(entry: Mapping[str, Any]) -> bool:
    states = entry.get("state")
    return isinstance(states, list) and bool(_FIXED & set(map(str, states))) and "lladdr" in entry
