"""What is fuzzed: functions of octets that return, or raise anything but the error that they promise.

A new target is one line in ``TARGETS`` and a folder of seeds in ``corpus``.
"""

import asyncio
import contextlib
import functools
import io
import itertools
import json
import re
import tempfile
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_interface
from pathlib import Path

from pycarp.config import grammars
from pycarp.config.grammars import Grammar
from pycarp.core.engine import Engine
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import DatagramReceived, HostAdded, LinkChanged, PacketsRead
from pycarp.daemon import control_server
from pycarp.daemon.control_messages import DoneReply, Reply, Request, decode_reply, decode_request, encode
from pycarp.doctor.firewall import Direction, Followed, Kind, Ruleset
from pycarp.errors import CaptureError, ConfigError, ControlError, DecodeError, RecordingError
from pycarp.inspection.capture_file import packets_of
from pycarp.inspection.inspector import Inspector
from pycarp.inspection.scan import Scan
from pycarp.inspection.timeline import Timeline
from pycarp.recording import Replay, read
from pycarp.sim.faults import fault_plan_file
from pycarp.sim.scenario.scenario import ScenarioError, play
from pycarp.vocabulary import CARP_GROUPS, Address, Datagram, Family, LinkFacts, family_of
from pycarp.wire import advertisement, arp, envelope, ethernet, ip, ndp, vrrp
from tests.support.carp_packets import SECRET

LINKS = (LinkFacts(name="em0", is_up=True, addresses=(ip_interface("192.168.1.3/24"), ip_interface("fe80::3/64"))),)
SOURCE = IPv4Address("192.168.1.4")
FILES = {
    Grammar.RC_CONF: "rc.conf",
    Grammar.HOSTNAME_CARP: "hostname.carp0",
    Grammar.TOML: "pycarp.toml",
    Grammar.UCARP: "ucarp.sh",
    Grammar.INTERFACES: "interfaces",
    Grammar.VIP_CONF: "vip-001.conf",
    Grammar.KEEPALIVED: "keepalived.conf",
}
_LINE_S = 10.0
_LONG_SPAN = re.compile(rb"\d{4}[\d.]*s")


def codec(octets: bytes) -> None:
    """Decode octets as everything that there is; what is an advertisement comes out as it went in."""
    one, two = IPv6Address("fe80::1"), IPv6Address("ff02::12")
    for decode in (
        ethernet.decode,
        ip.decode_ipv4,
        ip.decode_ipv6,
        arp.decode,
        functools.partial(ndp.decode, source=one, destination=two),
    ):
        with contextlib.suppress(DecodeError):
            decode(octets)
    envelope.datagram_of(octets, link="em0")
    envelope.datagram_of_packet(octets, link="em0")
    for source, destination in ((SOURCE, CARP_GROUPS[Family.IPV4]), (one, two)):
        if vrrp.vrrp_of(octets, source=source, destination=destination):
            vrrp.details_of(octets, source=source, destination=destination)
            assert len(octets) != advertisement.LENGTH or (octets[0], octets[3]) != (0x21, advertisement.AUTHLEN)
    with contextlib.suppress(DecodeError):
        seen = advertisement.decode(octets)
        again = advertisement.decode(advertisement.encode(seen))
        assert again._replace(checksum=0) == seen._replace(checksum=0)


def engine(octets: bytes) -> None:
    """Let a host hear octets, in both families, from a peer and from itself: nothing is ever raised."""
    made = _engine()
    sources: tuple[Address, ...] = (SOURCE, IPv4Address("192.168.1.3"), IPv6Address("fe80::4"))
    for at_ns, source in enumerate(sources):
        family = family_of(source)
        datagram = Datagram("em0", family, source, CARP_GROUPS[family], 255, octets)
        made.handle(DatagramReceived(datagram), at_ns)
    made.handle(PacketsRead((("em0", 0),)), at_ns)
    made.handle(PacketsRead((("em0", 10_000),)), at_ns)


def _engine() -> Engine:
    made = Engine(entropy=lambda: 7)
    made.handle(LinkChanged(LINKS[0]), 0)
    addresses = [f"{address}/24" for address in SECRET.addresses] + ["fe80::50/64"]
    made.handle(HostAdded(HostConfig(interface="em0", vhid=7, passphrase="testpass", addresses=addresses)), 0)
    return made


def _grammar(grammar: Grammar) -> Callable[[bytes], None]:
    """Return a target: what is read can be written in every grammar or is refused, and nothing else happens."""

    def target(octets: bytes) -> None:
        text = octets.decode("utf-8", "replace")
        with contextlib.suppress(ConfigError):
            grammars.recognise("unknown", text)
        try:
            config = grammars.read(text, grammar, file=FILES[grammar], links=LINKS)
        except ConfigError as exc:
            str(exc)
            return
        for name in grammars.TARGETS:
            with contextlib.suppress(ConfigError):
                for document in grammars.write(config, name, sources={"em0": SOURCE}):
                    assert "\0" not in document.text

    return target


def control(octets: bytes) -> None:
    """Read octets as messages; a request that is understood is understood again when it is written."""
    with contextlib.suppress(ControlError):
        request = decode_request(octets)
        assert decode_request(encode(request)) == request
    with contextlib.suppress(ControlError):
        decode_reply(octets)


def control_socket(octets: bytes) -> None:
    """Send octets to the server: each line is answered with a line, and it hangs up in the end."""
    _server().converse(octets)


class _Server:
    """A server that says done to everything, and a loop for it; both live as long as the process."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="pycarp-fuzz")
        self._path = Path(self._folder.name) / "socket"
        self._runner = asyncio.Runner()
        self._serving = contextlib.AsyncExitStack()
        self._runner.run(self._serve())

    def converse(self, octets: bytes) -> None:
        self._runner.run(self._converse(octets))

    async def _serve(self) -> None:
        await self._serving.enter_async_context(control_server.serve(self._path, self._answer))

    async def _answer(self, _request: Request) -> Reply:
        return DoneReply()

    async def _converse(self, octets: bytes) -> None:
        failures: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: failures.append(context))
        reader, writer = await asyncio.open_unix_connection(self._path)
        async with asyncio.timeout(_LINE_S):
            writer.write(octets)
            writer.write_eof()
            answers = await reader.read()
            writer.close()
            await writer.wait_closed()
        for line in answers.splitlines():
            decode_reply(line)
        # A request that nobody finished is answered or not: the server may have hung up.
        assert octets.count(b"\n") <= len(answers.splitlines()) <= octets.count(b"\n") + 1
        assert not failures, failures


@functools.cache
def _server() -> _Server:
    return _Server()


def capture(octets: bytes) -> None:
    """Read a capture and explain what is in it, with and without the password; scan it, and report."""
    inspectors = [Inspector(secret=secret) for secret in (None, SECRET)]
    timeline, scan, at_ns = Timeline(), Scan(secrets={7: [SECRET]}), 0
    with contextlib.suppress(CaptureError):
        for packet in packets_of(io.BytesIO(octets)):
            scan.add(packet)
            at_ns = packet.at_ns
            for inspector in inspectors:
                explanation = inspector.explain(packet)
                if explanation is not None:
                    timeline.add(explanation)
    report = scan.report(at_ns)
    assert sum(each.packets for group in report.groups for each in group.senders) <= report.packets


def firewall(octets: bytes) -> None:
    """Read octets as a listing of nftables, and follow a packet of each kind through it."""
    try:
        listing = json.loads(octets)
    except (ValueError, RecursionError):
        return
    ruleset = Ruleset.of(listing)
    for family, direction, kind in itertools.product(Family, Direction, Kind):
        for drop in ruleset.drops(Followed("eth0", family, direction, LINKS[0].addresses, kind)):
            assert drop.words
            assert drop.mending(kind)


def scenario(octets: bytes) -> None:
    """Play a scenario; long spans are left out, since they take long."""
    if _LONG_SPAN.search(octets):
        return
    with contextlib.suppress(ScenarioError):
        play(octets.decode("utf-8", "replace"))


def recording(octets: bytes) -> None:
    """Read a recording, and play it as far as it goes."""
    with contextlib.suppress(RecordingError):
        for played in Replay(read(octets.splitlines(keepends=True), file="recording")).steps():
            assert played.raised or played.difference is None or str(played.difference)


def plan(octets: bytes) -> None:
    """Read a plan; simulating one that makes sense takes long, and its faults are tested elsewhere."""
    with contextlib.suppress(ConfigError):
        decoded = fault_plan_file.decode(octets, file="plan")
        assert fault_plan_file.decode(fault_plan_file.encode(decoded), file="again") == decoded


TARGETS: dict[str, Callable[[bytes], None]] = {
    "codec": codec,
    "engine": engine,
    "rc_conf": _grammar(Grammar.RC_CONF),
    "hostname_carp": _grammar(Grammar.HOSTNAME_CARP),
    "toml": _grammar(Grammar.TOML),
    "ucarp": _grammar(Grammar.UCARP),
    "interfaces": _grammar(Grammar.INTERFACES),
    "vip_conf": _grammar(Grammar.VIP_CONF),
    "keepalived_conf": _grammar(Grammar.KEEPALIVED),
    "control": control,
    "control_socket": control_socket,
    "capture": capture,
    "firewall": firewall,
    "scenario": scenario,
    "recording": recording,
    "plan": plan,
}
"""By name, which is also that of the folder with the seeds."""
