"""What ``pycarp status``, ``why`` and ``top`` say about a host, in sentences."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from pycarp.core.restriction import Restriction
from pycarp.core.state import State
from pycarp.daemon.control_messages import Cause, CheckStatus, HostStatus, Peer, RestrictionStatus
from pycarp.vocabulary import NS_PER_S, NS_PER_SKEW

NO_NAMES: Mapping[str, str] = MappingProxyType({})

_HOSTS_FILE = Path("/etc/hosts")
_HOSTS_FILE_OCTETS_MOST = 1 << 20
_HOLDS = "holds the addresses"
_NOTHING_NEW = ("ready", "better-master")
_ALARM = "ALARM"


def names_of_addresses(file: Path = _HOSTS_FILE) -> dict[str, str]:
    """Return the names of addresses that this machine has in a file, and asks nobody for; none if it cannot be read."""
    names: dict[str, str] = {}
    with contextlib.suppress(OSError), file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines.read(_HOSTS_FILE_OCTETS_MOST).splitlines():
            address, *found = line.partition("#")[0].split() or [""]
            if found:
                names.setdefault(address, found[0])
    return names


def named(address: str, names: Mapping[str, str]) -> str:
    """Return an address, and its name if it has one."""
    return f"{address} ({names[address]})" if address in names else address


def role_of(host: HostStatus, names: Mapping[str, str] = NO_NAMES) -> str:
    """Return what a host does, because of whom, and what keeps it from more."""
    if host.state == State.MASTER:
        return f"MASTER, {_holding(host)}"
    if host.state == State.INIT:
        why = host.last_change.explanation if host.last_change else "nothing has happened yet"
        return f"INIT, takes no part: {why if host.is_up else 'set down by an administrator'}"
    if host.master is None:
        return f"BACKUP, and hears no MASTER; {_turn(host)}"
    master = _master(host)
    comparison = "" if master is None else f", which {_comparison(host, master)}"
    return f"BACKUP of {named(host.master, names)}{comparison}; {_turn(host)}{_preemption(host)}"


def reason_of(host: HostStatus, names: Mapping[str, str] = NO_NAMES) -> str:
    """Return why a host is in its state: what changed it last, and of a BACKUP why it stays one."""
    change = host.last_change
    explanation = change.explanation if change else ""
    if host.state != State.BACKUP:
        return explanation
    # That it got ready, or heard a better one, is what the rest says, too.
    before = f"{explanation}; " if change and change.reason not in _NOTHING_NEW else ""
    master = _master(host)
    if master is None:
        return f"{before}hears no MASTER; {_turn(host)}"
    who = named(master.source, names)
    return f"{before}{who} {_comparison(host, master)}; {_turn(host)}{_preemption(host)}"


def _master(host: HostStatus) -> Peer | None:
    """Return the last advertisement of the MASTER that is heard."""
    return next((each for each in host.heard if each.source == host.master), None)


def _holding(host: HostStatus) -> str:
    if host.stage not in (None, _HOLDS):
        return f"and not yet with its addresses: {host.stage}"
    return f"without {', '.join(host.missing)}" if host.missing else _HOLDS


def _comparison(host: HostStatus, master: Peer) -> str:
    """Return whose claim is the shorter one, in numbers: advbase+advskew."""
    own = interval_s(host.effective_advbase, host.effective_advskew)
    other = interval_s(master.advbase, master.advskew)
    verdict = "is faster" if other < own else "is slower" if other > own else "is as fast"
    own_claim = f"{host.effective_advbase}+{host.effective_advskew}"
    return f"{verdict}: {master.advbase}+{master.advskew} against {own_claim}"


def _turn(host: HostStatus) -> str:
    if host.next_s is None:
        return "does not take over"
    master = _master(host)
    if master is None:
        return f"takes over in {max(host.next_s, 0):.1f} s unless a MASTER advertises"
    return f"takes over {host.next_s + master.heard_s_ago:.2f} s after its last advertisement"


def _preemption(host: HostStatus) -> str:
    if not host.preempt:
        return "; does not preempt"
    causes = [each.cause for each in in_effect(host) if each.to == Restriction.NO_PREEMPT]
    return f"; preempts nobody: {', '.join(causes)}" if causes else ""


def interval_s(advbase: int, advskew: int) -> float:
    """Return the advertisement interval of a claim, in seconds."""
    return (advbase * NS_PER_S + advskew * NS_PER_SKEW or NS_PER_SKEW) / NS_PER_S


def remarks_of(host: HostStatus) -> Iterator[str]:
    """Yield what an operator should know of a host beside its state."""
    if host.location:
        yield f"addresses on {host.location}"
    if host.missing:
        pause = "put back after a pause, which grows each time that others remove it"
        yield f"missing now: {', '.join(host.missing)}; {pause}"
    if host.address_error:
        yield host.address_error
    yield from alarm_remarks(host)
    yield from _service_remarks(host)
    yield from _restriction_remarks(host)
    for cause in host.demotion:
        yield f"demoted by {cause.amount}: {cause.cause}{_end_of(cause)}"
    if host.rejected:
        yield f"{host.rejected} advertisements not authentic: another pass or other addresses"
    if host.contested:
        yield f"others changed its addresses {_times(host.contested)}"


def details_of(host: HostStatus, names: Mapping[str, str] = NO_NAMES, *, older_s: float = 0) -> Iterator[str]:
    """Yield who was heard and what passes, of a status that is ``older_s`` old."""
    for peer in host.heard:
        claim = f"{peer.advbase}+{peer.advskew}"
        left = ", has left" if peer.has_left else ""
        ago = age(peer.heard_s_ago + older_s)
        yield f"heard {named(peer.source, names)}, which claims {claim}, {ago} ago{left}: {peer.decision}"
    for check in host.checks:
        if check.passes:
            yield f"check {check.name} passes{'' if check.s_ago is None else f' for {age(check.s_ago + older_s)}'}"


def alarm_remarks(host: HostStatus) -> Iterator[str]:
    """Yield the alarms of a host with what to do next, and its warnings."""
    for alarm in host.alarms:
        yield f"{_ALARM} {alarm.name}: {alarm.text}{f'; next: {alarm.command}' if alarm.command else ''}"
    alarmed = {each.text for each in host.alarms}
    for warning in filter(lambda each: each not in alarmed, host.warnings):
        yield f"warning: {warning}"


def is_alarm(remark: str) -> bool:
    """Return whether a remark is an alarm."""
    return remark.startswith(f"{_ALARM} ")


def in_effect(host: HostStatus) -> Iterator[RestrictionStatus]:
    """Yield the restrictions that matter now: who is MASTER has nobody to preempt."""
    for each in host.restrictions:
        if host.state != State.MASTER or each.to != Restriction.NO_PREEMPT:
            yield each


def _restriction_remarks(host: HostStatus) -> Iterator[str]:
    whats = {"no-preempt": "preempts nobody", "backup-only": "is BACKUP only"}
    for each in in_effect(host):
        yield f"{whats.get(each.to, each.to)}: {each.cause}{_end_of(each)}"


def _service_remarks(host: HostStatus) -> Iterator[str]:
    for check in host.checks:
        if not check.passes:
            yield _failing(check)
    for hook in host.hooks:
        if hook.error:
            yield f"hook {hook.name} on {hook.last_on}: {hook.error}"
        if hook.is_running:
            yield f"hook {hook.name} is running"
    for command in host.commands:
        verb = "runs" if command.is_running else "waits for this host to be MASTER"
        yield f"{command.name} {verb} (while-master, pid {command.pid})"


def _failing(check: CheckStatus) -> str:
    """Say since when a check fails, why, and what follows."""
    since = "has not passed yet" if check.s_ago is None else f"fails for {age(check.s_ago)}"
    why = f": {check.detail}" if check.detail else ""
    fate = "this host is the last of all" if check.by is None else f"demoted by {check.by}"
    fate = "this host is not MASTER meanwhile" if check.releases else fate
    return f"check {check.name} {since}{why}; {fate}"


def _end_of(cause: Cause | RestrictionStatus) -> str:
    return "" if cause.ends_in_s is None else f" (ends in {age(cause.ends_in_s)})"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def age(seconds: float) -> str:
    """Return a duration in two units at most."""
    whole = int(seconds)
    if whole < 60:
        return f"{int(seconds * 10) / 10:.1f}s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days}d{hours:02}h" if days else f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
