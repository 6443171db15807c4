"""What one advertisement costs: building, authenticating, and the whole way through the engine, beside scapy.

    python -m benchmarks.packets [--seconds 1] [--rounds 5]

scapy is measured in the same run if it is installed; it verifies nothing, so its parsing is compared with less work
than ours. Rates are the median of the rounds, which alternate between the contestants, so that a noisy machine is
noisy for all.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from ipaddress import IPv4Address, ip_interface

from pycarp.auth.digest import Signer
from pycarp.auth.key import Passphrase
from pycarp.core import Engine
from pycarp.core.host_config import HostConfig
from pycarp.core.inputs import DatagramReceived, HostAdded, LinkChanged
from pycarp.dialects import UNIVERSAL
from pycarp.vocabulary import CARP_GROUPS, Family, LinkFacts, MacAddress, Outgoing
from pycarp.wire import advertisement as wire
from pycarp.wire import envelope

BATCH = 200
LINK, VHID, PASSPHRASE, SHARED = "eth0", 1, "testpass", "192.168.1.50/24"

_signer = Signer(
    passphrase=Passphrase(PASSPHRASE), vhid=VHID, addresses=[IPv4Address("192.168.1.50")], layouts=UNIVERSAL.layouts
)


def build() -> bytes:
    """Sign, encode and wrap one advertisement into its Ethernet frame."""
    counter = 4711
    advert = wire.Advertisement(vhid=VHID, advbase=1, advskew=0, counter=counter, digest=_signer.sign(counter))
    outgoing = Outgoing(
        link=LINK,
        family=Family.IPV4,
        source=IPv4Address("192.168.1.3"),
        destination=CARP_GROUPS[Family.IPV4],
        tos=UNIVERSAL.tos,
        identification=UNIVERSAL.identification,
        source_mac=UNIVERSAL.source_mac(VHID),
        payload=wire.encode(advert),
    )
    return envelope.frame_of(outgoing, link_mac=MacAddress(bytes(6)), identification=1)


FRAME = build()


def receiver() -> Callable[[], object]:
    """Return a function that takes one frame from the wire through the engine of a BACKUP."""
    engine = Engine(entropy=lambda: 1)
    engine.handle(LinkChanged(LinkFacts(name=LINK, is_up=True, addresses=(ip_interface("192.168.1.5/24"),))), 0)
    engine.handle(
        HostAdded(
            HostConfig(interface=LINK, vhid=VHID, passphrase=PASSPHRASE, addresses=[SHARED], advbase=1, advskew=100)
        ),
        0,
    )

    def receive() -> object:
        datagram = envelope.datagram_of(FRAME, link=LINK)
        assert datagram is not None
        return engine.handle(DatagramReceived(datagram), 0)

    return receive


def contestants() -> dict[str, Callable[[], object]]:
    """Return what is measured, by name."""
    found = {"pycarp: build and sign a frame": build, "pycarp: receive a frame, engine included": receiver()}
    try:
        from scapy.contrib.carp import CARP  # noqa: PLC0415  optional
        from scapy.layers.inet import IP  # noqa: PLC0415
        from scapy.layers.l2 import Ether  # noqa: PLC0415
    except ImportError:
        return found
    found["scapy: build a frame, unsigned"] = lambda: bytes(
        Ether(src="00:00:5e:00:01:01", dst="01:00:5e:00:00:12")
        / IP(src="192.168.1.3", dst="224.0.0.18", ttl=255)
        / CARP(vhid=VHID, advskew=0)
    )
    found["scapy: parse a frame, unverified"] = lambda: Ether(FRAME)
    return found


def rate(call: Callable[[], object], seconds: float) -> float:
    """Return how often a second something can be done."""
    count, began_s = 0, time.perf_counter()
    while (passed_s := time.perf_counter() - began_s) < seconds:
        for _ in range(BATCH):
            call()
        count += BATCH
    return count / passed_s


def main() -> None:
    """Measure in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement (default 1)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each (default 5)")
    options = parser.parse_args()
    calls = contestants()
    rates: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(options.rounds):
        for name, call in calls.items():
            rates[name].append(rate(call, options.seconds / len(calls)))
    for name, measured in rates.items():
        median = statistics.median(measured)
        print(f"{name:<44} {median:>10,.0f} a second   ({1e6 / median:6.1f} µs each)")


if __name__ == "__main__":
    main()
