"""The output of ``pycarp scan``: a table with sentences below it, or one JSON object."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pycarp.inspection.explanation import Protocol
from pycarp.inspection.scan_report import ScannedGroup, ScannedSender, ScanProblem, ScanReport
from pycarp.vocabulary import NS_PER_S, Address, Family
from pycarp.wire.vrrp import VrrpAuthentication

_MAC_WIDTH = len("00:00:5e:00:01:01")
_HEADINGS = ("GROUP", "SPEAKS", "HOST", "STATE", "CLAIMS", "HEARD EVERY", "ADDRESSES OR DIALECT")
_PIPE_WIDTH = 200


class Scanned(msgspec.Struct, frozen=True, kw_only=True):
    """A report with its interface and duration; ``lost`` is the number of frames that were not read in time."""

    interface: str
    listened_s: float
    lost: int
    report: ScanReport
    own: frozenset[Address]

    @property
    def problems(self) -> tuple[ScanProblem, ...]:
        """All problems, those of listening last."""
        if not self.lost:
            return self.report.problems
        words = f"{self.lost} frames came faster than this machine reads, and were lost: the report has gaps"
        return (*self.report.problems, ScanProblem("lost", words, self.lost))

    @property
    def is_well(self) -> bool:
        """True if there is no problem."""
        return not self.problems


def print_for_people(scanned: Scanned) -> None:
    """Print the groups as a table, then problems, what changed meanwhile, notes, and the free ids."""
    # A pipe gets whole lines: without a terminal there is no width to fold them to.
    console = Console(highlight=False, width=None if Console().is_terminal else _PIPE_WIDTH)
    report = scanned.report
    packets = "1 packet" if report.packets == 1 else f"{report.packets} packets"
    console.print(Text(f"{scanned.interface}: {packets} in {scanned.listened_s:.1f} s"))
    if report.groups:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in _HEADINGS:
            # A MAC address that is folded is read wrongly.
            table.add_column(heading, overflow="fold", min_width=_MAC_WIDTH if heading == "HOST" else None)
        for group in report.groups:
            for row in _rows(group, scanned.own):
                table.add_row(*row)
        console.print(table)
    else:
        console.print(Text("neither CARP nor VRRP was heard"))
    for line in _lines(scanned):
        console.print(line, soft_wrap=True)


def _rows(group: ScannedGroup, own: frozenset[Address]) -> Iterator[tuple[Text, ...]]:
    name = str(group.group)
    for sender in sorted(group.senders, key=lambda each: not each.is_master):
        here = " (this machine)" if sender.source in own else ""
        yield (
            Text(name),
            Text(_speaks(sender)),
            Text(f"{sender.source}{here} {sender.source_mac or ''}".rstrip()),
            _state(sender),
            Text(_claim(sender)),
            Text(_arrivals(sender)),
            Text(_details(sender)),
        )
        name = ""


def _speaks(sender: ScannedSender) -> str:
    if sender.vrrp is None:
        return "CARP"
    is_in_header = sender.details is not None and sender.details.authentication is VrrpAuthentication.HEADER
    return f"VRRPv{sender.vrrp.version}{' AH' if is_in_header else ''}"


def _state(sender: ScannedSender) -> Text:
    if sender.is_master:
        return Text("MASTER", style="green")
    if not sender.is_believed:
        return Text("not believed", style="red")
    return Text("left" if sender.claim.leaves else "gone", style="yellow")


def _claim(sender: ScannedSender) -> str:
    if sender.vrrp is not None:
        return f"priority {sender.vrrp.priority}, {sender.claim.interval_ns / NS_PER_S:.2f} s"
    advertisement = sender.advertisement
    if advertisement is None:
        return ""
    demote = f" demote {advertisement.demote}" if advertisement.demote else ""
    return f"{advertisement.advbase}+{advertisement.advskew}/256 s{demote}"


def _arrivals(sender: ScannedSender) -> str:
    arrivals = sender.arrivals
    if arrivals.interval_ns is None or arrivals.jitter_ns is None:
        return "once" if sender.packets == 1 else f"{sender.packets} packets"
    return f"{arrivals.interval_ns / NS_PER_S:.3f} s ± {arrivals.jitter_ns / NS_PER_S:.3f} s"


def _details(sender: ScannedSender) -> str:
    if sender.details is not None:
        return " ".join(map(str, sender.details.addresses))
    return f"like {', '.join(sender.dialects)}" if sender.dialects else "like no known dialect"


def _lines(scanned: Scanned) -> Iterator[Text]:
    for problem in scanned.problems:
        yield Text.assemble(("problem: ", "red"), _about(problem))
    for group in scanned.report.groups:
        for event in group.events:
            yield Text.assemble(("change: ", "yellow"), f"{group.group}: {event.words}")
        for note in dict.fromkeys(f"{each.source}: {note}" for each in group.senders for note in each.notes):
            yield Text.assemble(("note: ", "cyan"), f"{group.group}: {note}")
    for vlans, ids in scanned.report.free.items():
        where = "".join(f" on VLAN {each}" for each in vlans)
        yield Text(f"free ids{where}: {ranges_of(ids) or 'none'}")


def _about(problem: ScanProblem) -> str:
    parts = [str(each) for each in (problem.group, problem.source) if each is not None]
    if problem.source is not None and problem.words.startswith(str(problem.source)):
        parts = parts[:-1]
    often = f" ({problem.packets} packets)" if problem.packets > 1 else ""
    return ": ".join([*parts, problem.words]) + often


def ranges_of(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text, as ``1-6, 8``."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1] = [parts[-1][0], number]
        else:
            parts.append([number])
    return ", ".join("-".join(map(str, each)) for each in parts)


def as_json_text(scanned: Scanned) -> str:
    """Return the object that ``docs/reference/json.md`` describes."""
    report = scanned.report
    return json.dumps(
        {
            "type": "scan",
            "interface": scanned.interface,
            "listened_s": round(scanned.listened_s, 3),
            "packets": report.packets,
            "lost": scanned.lost,
            "groups": [_group_object(each, report, scanned.own) for each in report.groups],
            "problems": [_problem_object(each) for each in scanned.problems],
            "free": [{"vlans": list(vlans), "ids": list(ids)} for vlans, ids in report.free.items()],
        },
        indent=2,
    )


def _group_object(scanned: ScannedGroup, report: ScanReport, own: frozenset[Address]) -> dict[str, Any]:
    group = scanned.group
    return {
        "name": str(group),
        "protocol": group.protocol.value,
        "id": group.id,
        "family": "ipv6" if group.family is Family.IPV6 else "ipv4",
        "vlans": list(group.vlans),
        "masters": _distinct(each.source for each in scanned.masters),
        "senders": [_sender_object(each, own) for each in scanned.senders],
        "left_out": scanned.left_out,
        "problems": _distinct(each.kind for each in report.problems if each.group == group),
        "changes": [{"kind": each.kind.name.lower().replace("_", "-"), "text": each.words} for each in scanned.events],
    }


def _sender_object(sender: ScannedSender, own: frozenset[Address]) -> dict[str, Any]:
    advertisement, vrrp, details, arrivals = sender.advertisement, sender.vrrp, sender.details, sender.arrivals
    is_carp = sender.claim.protocol is Protocol.CARP
    return {
        "source": str(sender.source),
        "source_mac": str(sender.source_mac) if sender.source_mac else None,
        "is_this_machine": sender.source in own,
        "is_master": sender.is_master,
        "is_believed": sender.is_believed,
        "is_authentic": sender.is_authentic,
        "has_left": sender.claim.leaves,
        "packets": sender.packets,
        "interval_s": sender.claim.interval_ns / NS_PER_S,
        "arrives_s": _seconds(arrivals.interval_ns),
        "jitter_s": _seconds(arrivals.jitter_ns),
        "latest_s": _seconds(arrivals.latest_ns),
        "missed": arrivals.missed,
        "advbase": advertisement.advbase if advertisement else None,
        "advskew": advertisement.advskew if advertisement else None,
        "demote": advertisement.demote if advertisement else None,
        "dialects": list(sender.dialects) if is_carp else None,
        "version": vrrp.version if vrrp else None,
        "priority": vrrp.priority if vrrp else None,
        "addresses": [str(each) for each in details.addresses] if details else None,
        "authentication": details.authentication.value if details else None,
        "checksum": details.checksum.value if details and details.checksum else None,
        "notes": list(sender.notes),
    }


def _problem_object(problem: ScanProblem) -> dict[str, Any]:
    return {
        "kind": problem.kind,
        "text": problem.words,
        "group": str(problem.group) if problem.group else None,
        "source": str(problem.source) if problem.source else None,
        "packets": problem.packets or None,
    }


def _distinct(values: Iterable[object]) -> list[str]:
    return list(dict.fromkeys(map(str, values)))


def _seconds(span_ns: int | None) -> float | None:
    return None if span_ns is None else span_ns / NS_PER_S
