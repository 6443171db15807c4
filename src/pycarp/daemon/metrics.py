"""Metrics of a daemon in the text format of Prometheus, from its status and what it has counted."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from prometheus_client import generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from pycarp.core.state import State
from pycarp.daemon.control_messages import HostStatus, LinkStatus, StatusReply
from pycarp.daemon.tallies import TAKEOVER_BOUNDS_S, Tallies
from pycarp.vocabulary import HostKey

_HOST = ("host", "vhid", "interface")


HOSTS_A_TURN = 8
"""The samples of so many hosts are written at once, which takes about half a millisecond."""

_TRANSITIONS_A_TURN = 64
_LINKS_A_TURN = 2

T = TypeVar("T")


async def text_of(status: StatusReply, tallies: Tallies, *, version: str) -> bytes:
    """Return all metrics; the event loop does other work in between.

    A thread would not do: it keeps the interpreter for five milliseconds while an advertisement is due.
    """
    text = _Text()
    for each in _parts(status, tallies, version):
        text.add(each)
        await asyncio.sleep(0)
    return text.all()


def _parts(status: StatusReply, tallies: Tallies, version: str) -> Iterator[Collector]:
    """Yield collectors, each of which has little to do; several may have samples of one family."""
    names = {(host.interface, host.vhid): host.name for host in status.hosts}
    yield _Daemon(status, tallies, version)
    for each in _shares([*tallies.transitions.items()], _TRANSITIONS_A_TURN):
        yield _Transitions(each, names)
    for links in _shares([*status.links.items()], _LINKS_A_TURN):
        yield _Links(links)
    for hosts in _shares(status.hosts, HOSTS_A_TURN):
        yield _Hosts(hosts)


def _shares(all_of_them: Sequence[T], most: int) -> Iterator[Sequence[T]]:
    """Yield a sequence in shares of so many at most; an empty one as one share, so that its families are there."""
    for begin in range(0, max(len(all_of_them), 1), most):
        yield all_of_them[begin : begin + most]


class _Text:
    """Gathers families of metrics in the text format, the samples of each one together."""

    def __init__(self) -> None:
        self._families: dict[bytes, list[bytes]] = {}

    def add(self, collector: Collector) -> None:
        """Add what a collector has; a family that is there already gets its samples."""
        for metric in collector.collect():
            *heading, samples = generate_latest(_Only(metric)).split(b"\n", 2)
            self._families.setdefault(b"\n".join(heading), []).append(samples)

    def all(self) -> bytes:
        """Return the text."""
        return b"".join(b"%s\n%s" % (heading, b"".join(samples)) for heading, samples in self._families.items())


class _Only(Collector):
    def __init__(self, metric: Metric) -> None:
        self._metric = metric

    def collect(self) -> Iterator[Metric]:
        yield self._metric


class _Daemon(Collector):
    """What there is once, whatever the number of hosts."""

    def __init__(self, status: StatusReply, tallies: Tallies, version: str) -> None:
        self._status = status
        self._tallies = tallies
        self._version = version

    def collect(self) -> Iterator[Metric]:
        info = GaugeMetricFamily("pycarp_info", "The daemon.", labels=("version", "hostname", "transport"))
        info.add_metric((self._version, self._status.hostname, self._status.transport), 1)
        yield info
        yield GaugeMetricFamily("pycarp_uptime_seconds", "Seconds since the daemon started.", self._status.uptime_s)
        yield CounterMetricFamily("pycarp_stalls", "Times that the process was not scheduled.", self._tallies.stalls)
        yield CounterMetricFamily(
            "pycarp_stalled_seconds", "Seconds that the process was late in all.", self._tallies.stalled_s
        )
        takeovers = HistogramMetricFamily(
            "pycarp_takeover_seconds", "From being MASTER to holding the addresses.", labels=()
        )
        histogram, total = self._tallies.takeovers, 0
        buckets = []
        for bound, count in zip((*map(str, TAKEOVER_BOUNDS_S), "+Inf"), histogram.counts, strict=True):
            total += count
            buckets.append((bound, total))
        takeovers.add_metric((), buckets, histogram.sum_s)
        yield takeovers


class _Transitions(Collector):
    """Changes of the state of hosts, which have the ``names``."""

    def __init__(
        self, counts: Sequence[tuple[tuple[HostKey, State, str], int]], names: Mapping[tuple[str, int], str]
    ) -> None:
        self._counts = counts
        self._names = names

    def collect(self) -> Iterator[Metric]:
        transitions = CounterMetricFamily(
            "pycarp_host_transitions", "Changes of the state.", labels=(*_HOST, "state", "reason")
        )
        for (key, new, reason), count in self._counts:
            name = self._names.get((key.link, key.vhid), str(key))
            transitions.add_metric((name, str(key.vhid), key.link, new.value, reason), count)
        yield transitions


class _Links(Collector):
    """What was sent, heard and dropped on interfaces."""

    def __init__(self, links: Sequence[tuple[str, LinkStatus]]) -> None:
        self._links = links

    def collect(self) -> Iterator[Metric]:
        counters = CounterMetricFamily(
            "pycarp_packets", "The counters of netstat -s -p carp.", labels=("interface", "counter")
        )
        drops = CounterMetricFamily("pycarp_drops", "Packets dropped, by reason.", labels=("interface", "reason"))
        for name, link in self._links:
            for counter, count in link.counters.items():
                counters.add_metric((name, counter), count)
            for reason, count in link.drops.items():
                drops.add_metric((name, reason), count)
        yield counters
        yield drops


class _Hosts(Collector):
    """What there is of each host."""

    def __init__(self, hosts: Sequence[HostStatus]) -> None:
        self._hosts = hosts

    def collect(self) -> Iterator[Metric]:
        yield from self._of_hosts()
        yield from self._of_peers()
        yield from self._of_alarms()
        yield from self._of_checks()

    def _of_hosts(self) -> Iterator[Metric]:
        state = GaugeMetricFamily("pycarp_host_state", "1 for the state that the host is in.", labels=(*_HOST, "state"))
        gauges = {
            name: GaugeMetricFamily(f"pycarp_host_{name}", text, labels=_HOST)
            for name, text in (
                ("advertised_interval_seconds", "How often it advertises, or would as MASTER, demotion included."),
                ("demotion", "The sum of what demotes it."),
                ("restrictions", "How many causes forbid it to take over."),
                ("drained", "1 if an administrator drained it."),
                ("missing_addresses", "Addresses that a MASTER should have and has not."),
                ("state_seconds", "Seconds in the present state."),
            )
        }
        rejected = CounterMetricFamily("pycarp_host_rejected", "Advertisements that were not authentic.", labels=_HOST)
        contested = CounterMetricFamily("pycarp_host_contested", "Changes of its addresses by others.", labels=_HOST)
        for host in self._hosts:
            labels = _labels(host)
            for each in State:
                state.add_metric((*labels, each.value), host.state == each.value)
            values = {
                "advertised_interval_seconds": host.effective_advbase + host.effective_advskew / 256,
                "demotion": sum(each.amount for each in host.demotion),
                "restrictions": len(host.restrictions),
                "drained": host.is_drained,
                "missing_addresses": len(host.missing),
                "state_seconds": host.last_change.s_ago if host.last_change else 0,
            }
            for name, value in values.items():
                gauges[name].add_metric(labels, value)
            rejected.add_metric(labels, host.rejected)
            contested.add_metric(labels, host.contested)
        yield state
        yield from gauges.values()
        yield rejected
        yield contested

    def _of_peers(self) -> Iterator[Metric]:
        heard = GaugeMetricFamily(
            "pycarp_peer_heard_seconds_ago", "Seconds since its last advertisement.", labels=(*_HOST, "peer")
        )
        for host in self._hosts:
            for source, s_ago in {peer.source: peer.heard_s_ago for peer in host.heard}.items():
                heard.add_metric((*_labels(host), source), s_ago)
        yield heard

    def _of_alarms(self) -> Iterator[Metric]:
        alarms = GaugeMetricFamily("pycarp_alarm", "1 while an alarm is on.", labels=(*_HOST, "alarm"))
        for host in self._hosts:
            for alarm in host.alarms:
                alarms.add_metric((*_labels(host), alarm.name), 1)
        yield alarms

    def _of_checks(self) -> Iterator[Metric]:
        passes = GaugeMetricFamily("pycarp_check_passes", "1 while a check passes.", labels=(*_HOST, "check"))
        hooks = GaugeMetricFamily("pycarp_hook_failed", "1 if the last call of a hook failed.", labels=(*_HOST, "hook"))
        for host in self._hosts:
            for check in host.checks:
                passes.add_metric((*_labels(host), check.name), check.passes)
            for hook in host.hooks:
                hooks.add_metric((*_labels(host), hook.name), bool(hook.error))
        yield passes
        yield hooks


def _labels(host: HostStatus) -> tuple[str, str, str]:
    return host.name, str(host.vhid), host.interface
