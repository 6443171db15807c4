"""How ``pycarp decode`` shows explanations: a line a packet for people, with a summary, or a JSON object a line."""

import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from pycarp.inspection.explanation import Explanation, Finding, Remark, interval_ns
from pycarp.inspection.timeline import PresentMasters, Timeline, TimelineEntry, TimelineKind
from pycarp.inspection.vrrp_findings import LEAVES
from pycarp.vocabulary import NS_PER_S, Address
from pycarp.wire.vrrp import Vrrp, VrrpAuthentication, VrrpDetails

_NS_PER_US = 1000
_STATUS_HZ = 4
_SHOWN_ENTRIES = 100
_MOST_SHOWN = 1000
_STYLES = {
    TimelineKind.TAKEOVER: "yellow",
    TimelineKind.BOW_OUT: "cyan",
    TimelineKind.SILENCE: "yellow",
    TimelineKind.TWO_MASTERS: "red",
    TimelineKind.ONE_MASTER: "green",
}


_AUTHENTICATION_WORDS = {
    VrrpAuthentication.NONE: "",
    VrrpAuthentication.PASSWORD: ", with a password",
    VrrpAuthentication.HEADER: ", in an authentication header",
    VrrpAuthentication.SIGNATURE: ", signed",
}


class JsonOutput:
    """One object per line, flushed at once; keys are always the same, unknown values are null."""

    def show(self, explanation: Explanation) -> None:
        """Print a packet."""
        sys.stdout.write(msgspec.json.encode(_as_object(explanation)).decode() + "\n")
        sys.stdout.flush()

    def finish(self, _now_ns: int) -> None:
        """Print nothing: a script has its own summary."""

    def close(self) -> None:
        """Do nothing: there is no live line."""


class HumanOutput:
    """One line a packet, its problems below it, and a summary; coloured on a terminal only.

    Times are local, as tcpdump's. ``is_live`` says that the capture ends now, not with its last packet; a terminal then
    has a line at its end that says who is master at present.
    """

    def __init__(self, *, is_live: bool, console: Console | None = None) -> None:
        self._is_live = is_live
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._is_plain = not self._console.is_terminal
        self._lock = threading.Lock()
        self._day = ""
        self._packets = 0
        self._authentic: Counter[bool | None] = Counter()
        self._problems: Counter[Remark] = Counter()
        self._notes: Counter[Remark] = Counter()
        self._timeline = Timeline()
        self._shown: set[tuple[tuple[int, ...], Address | None, Finding]] = set()
        self._status_line: Live | None = None
        if is_live and not self._is_plain:
            self._status_line = Live(
                console=self._console, get_renderable=self._status, transient=True, refresh_per_second=_STATUS_HZ
            )
            self._status_line.start()

    def show(self, explanation: Explanation) -> None:
        """Print a packet, and count it for the summary."""
        with self._lock:
            self._count(explanation)
        self._print_day(explanation.at_ns)
        self._print(*_line(explanation))
        for finding in explanation.problems:
            self._print(("    problem: ", "red"), (finding.words, ""))
        for finding in explanation.notes:
            if self._is_news(explanation, finding):
                self._print(("    note: ", "cyan"), (finding.words, ""))

    def _count(self, explanation: Explanation) -> None:
        self._packets += 1
        if explanation.advertisement is not None:
            self._authentic[explanation.authentic] += 1
        self._problems.update({each.remark for each in explanation.problems})
        self._notes.update({each.remark for each in explanation.notes})
        self._timeline.add(explanation)

    def _status(self) -> Text:
        """Return the last line of the terminal, which a thread draws again and again."""
        with self._lock:
            problems = sum(self._problems.values())
            present = self._timeline.present_masters()
            said = f"{_plural(self._packets, 'packet')}{self._judged()}"
        return status_words(said, _plural(problems, "problem") if problems else "", present, time.time_ns())

    def close(self) -> None:
        """Remove the live line; no-op the second time."""
        if self._status_line is not None:
            self._status_line.stop()

    def _is_news(self, explanation: Explanation, finding: Finding) -> bool:
        """Return True if a note gets a line: a note that repeats for a sender is printed once, and counted."""
        if finding.remark is Remark.BOW_OUT:
            return True
        shown = (explanation.vlans, explanation.source, finding)
        if shown in self._shown:
            return False
        if len(self._shown) >= _MOST_SHOWN:
            self._shown.clear()
        self._shown.add(shown)
        return True

    def finish(self, now_ns: int) -> None:
        """Print the summary."""
        self.close()
        if not self._packets:
            self._print(("no packet of protocol 112 was seen", ""))
            return
        ends_ns = time.time_ns() if self._is_live else now_ns
        self._timeline.finish(ends_ns)
        self._print(("", ""))
        self._print((f"{_plural(self._packets, 'packet')}{self._judged()}", "bold"))
        for counter, style in ((self._problems, "red"), (self._notes, "cyan")):
            for remark, count in counter.most_common():
                self._print((f"  {count:>6} ", ""), (remark.value, style))
        self._print_timeline(ends_ns)

    def _judged(self) -> str:
        parts = [
            f"{count} {words}"
            for verdict, words in ((True, "authentic"), (False, "not authentic"))
            if (count := self._authentic[verdict])
        ]
        return f": {', '.join(parts)}" if parts else ""

    def _print_timeline(self, ends_ns: int) -> None:
        entries = sorted(self._timeline.entries, key=lambda each: (each.group, each.at_ns))
        for group, masters, silent_at_ns in self._timeline.present_masters():
            names = " and ".join(map(str, masters)) or "nobody: it bowed out"
            if masters and ends_ns > silent_at_ns:
                names = f"nobody: {names} fell silent"
            self._print(("", ""))
            self._print((f"{group}: master at the end {names}", "bold"))
            for entry in [each for each in entries if each.group == group][-_SHOWN_ENTRIES:]:
                self._print_entry(entry)
        if self._timeline.dropped:
            self._print((f"{self._timeline.dropped} earlier entries are not shown", "dim"))

    def _print_entry(self, entry: TimelineEntry) -> None:
        self._print((f"  {_clock(entry.at_ns)} ", "dim"), (entry.words, _STYLES.get(entry.kind, "")))

    def _print_day(self, at_ns: int) -> None:
        day = _local(at_ns).strftime("%Y-%m-%d %Z")
        if day != self._day:
            self._day = day
            self._print((day, "dim"))

    def _print(self, *parts: tuple[str, str]) -> None:
        if self._is_plain:  # rich takes ten times as long as the explanation
            sys.stdout.write("".join(words for words, _style in parts) + "\n")
            sys.stdout.flush()
        else:
            self._console.print(Text.assemble(*parts))


def status_words(said: str, problems: str, present: Sequence[PresentMasters], now_ns: int) -> Text:
    """Return the line below a live capture: counts, and the present MASTER of each group."""
    parts: list[tuple[str, str]] = [(said, "bold")]
    if problems:
        parts.append((f", {problems}", "red"))
    for group, masters, silent_at_ns in present:
        parts.append((f" | {group}: ", ""))
        if len(masters) > 1:
            parts.append((" and ".join(map(str, masters)), "red"))
        elif not masters or now_ns > silent_at_ns:
            parts.append(("nobody", "yellow"))
        else:
            parts.append((str(masters[0]), "green"))
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


class _Verdict(NamedTuple):
    words: str
    style: str


def _line(explanation: Explanation) -> list[tuple[str, str]]:
    parts = [(f"{_clock(explanation.at_ns)} ", "dim"), (f"{_addresses(explanation)}: ", "")]
    advertisement = explanation.advertisement
    if explanation.vrrp is not None:
        return [*parts, (_vrrp_words(explanation.vrrp, explanation.vrrp_details), "magenta")]
    if advertisement is None:
        return [*parts, ("unreadable", "red")]
    interval_s = interval_ns(advertisement) / NS_PER_S
    demote = f" demote {advertisement.demote}" if advertisement.demote else ""
    parts.append((f"vhid {advertisement.vhid}", "bold"))
    parts.append((f" advbase {advertisement.advbase} advskew {advertisement.advskew} = {interval_s:.3f} s", ""))
    parts.append((f"{demote} counter {advertisement.counter:016x} ", ""))
    return [*parts, _verdict(explanation)]


def _vrrp_words(vrrp: Vrrp, details: VrrpDetails | None) -> str:
    words = f"VRRPv{vrrp.version} router {vrrp.vrid} priority {vrrp.priority} every {vrrp.interval_ns / NS_PER_S:.3f} s"
    words += f" {_plural(vrrp.count, 'address', 'addresses')}"
    if details is None:
        return words
    listed = f": {' '.join(map(str, details.addresses))}" if details.addresses else ""
    return words + listed + _AUTHENTICATION_WORDS[details.authentication]


def _verdict(explanation: Explanation) -> _Verdict:
    match explanation.authentic:
        case True:
            return _Verdict("authentic", "green")
        case False:
            return _Verdict("NOT AUTHENTIC", "red")
    return _Verdict("not verified", "dim")


def _addresses(explanation: Explanation) -> str:
    tags = "".join(f"vlan {each} " for each in explanation.vlans)
    if explanation.source is None:
        return f"{tags}{explanation.source_mac or 'somebody'} > {explanation.destination_mac or 'somebody'}"
    return f"{tags}{explanation.source} > {explanation.destination}"


def _as_object(explanation: Explanation) -> dict[str, Any]:
    advertisement = explanation.advertisement
    vrrp = explanation.vrrp
    return {
        "time": _iso(explanation.at_ns),
        "source": _text(explanation.source),
        "destination": _text(explanation.destination),
        "vhid": advertisement.vhid if advertisement else None,
        "advbase": advertisement.advbase if advertisement else None,
        "advskew": advertisement.advskew if advertisement else None,
        "interval": interval_ns(advertisement) / NS_PER_S if advertisement else None,
        "demote": advertisement.demote if advertisement else None,
        "counter": advertisement.counter if advertisement else None,
        "authentic": explanation.authentic,
        "bow_out": advertisement.is_bow_out if advertisement else None,
        "problems": [each.words for each in explanation.problems],
        "notes": [each.words for each in explanation.notes],
        "remarks": [each.remark.name.lower().replace("_", "-") for each in (*explanation.problems, *explanation.notes)],
        "ttl": explanation.ttl,
        "vlans": list(explanation.vlans),
        "source_mac": _text(explanation.source_mac),
        "destination_mac": _text(explanation.destination_mac),
        "vrrp": _vrrp_as_object(vrrp, explanation.vrrp_details) if vrrp else None,
    }


def _vrrp_as_object(vrrp: Vrrp, details: VrrpDetails | None) -> dict[str, Any]:
    return {
        "version": vrrp.version,
        "router": vrrp.vrid,
        "priority": vrrp.priority,
        "addresses": vrrp.count,
        "interval": vrrp.interval_ns / NS_PER_S,
        "leaves": vrrp.priority == LEAVES,
        "address_list": [str(each) for each in details.addresses] if details else [],
        "authentication": details.authentication.value if details else None,
        "checksum": details.checksum.value if details and details.checksum else None,
    }


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _iso(at_ns: int) -> str:
    """Return a time in UTC; with nanoseconds only where the capture has them."""
    seconds, rest_ns = divmod(at_ns, NS_PER_S)
    fraction = f"{rest_ns // _NS_PER_US:06}" if rest_ns % _NS_PER_US == 0 else f"{rest_ns:09}"
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"


def _clock(at_ns: int) -> str:
    return f"{_local(at_ns):%H:%M:%S}.{at_ns % NS_PER_S // _NS_PER_US:06}"


def _local(at_ns: int) -> datetime:
    return datetime.fromtimestamp(at_ns // NS_PER_S, UTC).astimezone()


def _plural(count: int, noun: str, plural: str | None = None) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {plural or f'{noun}s'}"
