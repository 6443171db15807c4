"""The engine without asyncio: a thread with ``select`` performs its effects and says what happened.

``python docs/examples/bare_engine.py`` runs two hosts on the loopback, in UDP datagrams; the first one stops after a
second, and the second one takes over. A real program would hold and drop addresses where this one prints.
"""

import secrets
import select
import socket
import threading
import time
from ipaddress import ip_address, ip_interface

from pycarp import HostConfig, StateChange
from pycarp.core import Announce, DropAddresses, Engine, HoldAddresses, Publish, Step, Transmit
from pycarp.core.inputs import Action, ActuationReported, DatagramReceived, HostAdded, Input, LinkChanged, TimePassed
from pycarp.vocabulary import Datagram, Family, LinkFacts


class Host(threading.Thread):
    """One host on a link that is a UDP socket; ``peer`` is the port of the other one."""

    def __init__(self, name: str, *, advskew: int, own: str, ear: socket.socket, peer: int, life_s: float) -> None:
        super().__init__(name=name)
        self.changes: list[StateChange] = []
        self._engine = Engine(entropy=lambda: secrets.randbits(64))
        self._facts = LinkFacts(name="lo0", is_up=True, addresses=(ip_interface(own),))
        self._config = HostConfig(
            interface="lo0", vhid=1, passphrase="secret", addresses=["192.0.2.10/24"], advbase=0, advskew=advskew
        )
        self._socket, self._peer, self._ends_s = ear, peer, time.monotonic() + life_s
        self._other = ip_address("192.0.2.2" if own.startswith("192.0.2.1/") else "192.0.2.1")

    def run(self) -> None:
        """Handle one input after the other: what the socket brings, else the time that the engine asked for."""
        self._perform(LinkChanged(self._facts))
        deadline_ns = self._perform(HostAdded(self._config))
        while time.monotonic() < self._ends_s:
            wait_s = max(0.0, (deadline_ns or 0) / 1e9 - time.monotonic()) if deadline_ns is not None else 1.0
            readable, _, _ = select.select([self._socket], [], [], min(wait_s, 0.1))
            event: Input = TimePassed()
            if readable:
                group = ip_address("224.0.0.18")
                payload = self._socket.recv(2048)
                event = DatagramReceived(Datagram("lo0", Family.IPV4, self._other, group, 255, payload))
            deadline_ns = self._perform(event)
        self._socket.close()

    def _perform(self, event: Input) -> int | None:
        """Hand an input to the engine, carry out the effects, and return when it wants to be called again."""
        step: Step = self._engine.handle(event, time.monotonic_ns())
        reports: list[Input] = []
        for effect in step.effects:
            match effect:
                case Transmit(outgoing=outgoing):
                    self._socket.sendto(outgoing.payload, ("127.0.0.1", self._peer))
                case HoldAddresses() | DropAddresses():
                    action = Action.HOLD if isinstance(effect, HoldAddresses) else Action.DROP
                    print(f"{self.name} {action.value}s {', '.join(map(str, effect.addresses))}")
                    reports.append(ActuationReported(effect.key, effect.epoch, action, None))
                case Publish(event=StateChange() as change):
                    self.changes.append(change)
                    print(f"{self.name}: {change.old} -> {change.new} ({change.reason})")
                case Announce():
                    print(f"{self.name} announces")
        deadline_ns = step.deadline_ns
        for report in reports:
            deadline_ns = self._perform(report)
        return deadline_ns


def two_hosts(*, first_lives_s: float, second_lives_s: float) -> tuple[Host, Host]:
    """Return two hosts that share an address, not started yet; the first one is preferred."""
    ears = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    for ear in ears:
        ear.bind(("127.0.0.1", 0))
    ports = [ear.getsockname()[1] for ear in ears]
    a = Host("a", advskew=50, own="192.0.2.1/24", ear=ears[0], peer=ports[1], life_s=first_lives_s)
    b = Host("b", advskew=200, own="192.0.2.2/24", ear=ears[1], peer=ports[0], life_s=second_lives_s)
    return a, b


if __name__ == "__main__":
    for host in (hosts := two_hosts(first_lives_s=1, second_lives_s=3)):
        host.start()
    for host in hosts:
        host.join()
