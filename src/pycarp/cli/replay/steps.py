"""Steps through a recording, one or many steps at a time."""

import sys
from collections.abc import Iterable, Iterator
from itertools import islice

import click
import msgspec

from pycarp.cli.replay.output import Clock, StepWords, Tally, opening
from pycarp.cli.replay.replay_why import why
from pycarp.core.inputs import DatagramReceived, DatagramsReceived, Input
from pycarp.errors import CarpError, DecodeError
from pycarp.recording import Played, Recording, Replay
from pycarp.recording.values import pack_input
from pycarp.vocabulary import Datagram
from pycarp.wire import advertisement as wire

_HELP = "Enter: next step; n 20: the next 20; s: all hosts; w [HOST]: why they are as they are; q: quit"


def walk(replay: Replay, recording: Recording, steps: Iterable[Played], begin_ns: int | None) -> None:
    """Carry out the commands on standard input until its end or the last step; raises CarpError at a difference."""
    walker = _Walker(replay, recording, steps)
    click.echo(opening(recording.file, recording.head))
    click.echo(_HELP)
    walker.go_to(begin_ns)
    while (command := _command()) is not None and walker.obey(command):
        pass
    if walker.tally.difference:
        raise CarpError("the replay differs from what was recorded")


def _command() -> list[str] | None:
    """Return the words of the next line, None at the end."""
    if sys.stdin.isatty():
        click.echo("> ", nl=False)
    line = sys.stdin.readline()
    return line.split() if line else None


class _Walker:
    """A position in a recording."""

    def __init__(self, replay: Replay, recording: Recording, steps: Iterable[Played]) -> None:
        self._replay = replay
        self._clock = Clock(recording.head)
        self._words = StepWords(recording.head, recording.checkpoint)
        self.tally = Tally(self._clock)
        self._steps = self._seen(steps)
        self._at_ns = recording.head.at
        self._lines: list[str] = []

    def go_to(self, begin_ns: int | None) -> None:
        """Skip all steps before a time."""
        if begin_ns is None:
            return
        for played in self._steps:
            if played.at_ns >= begin_ns:
                self._show(played)
                return

    def obey(self, command: list[str]) -> bool:
        """Carry out a command; return True to go on."""
        match command:
            case []:
                return self._go(1)
            case ["n", count] if count.isdecimal():
                return self._go(int(count))
            case ["s"]:
                self._show_hosts()
            case ["w", *names]:
                self._why(names)
            case ["q"]:
                return False
            case _:
                click.echo(_HELP)
        return True

    def _go(self, count: int) -> bool:
        shown = 0
        for played in islice(self._steps, count):
            self._show(played)
            shown += 1
            if played.difference is not None:
                break
        if shown == count and not self.tally.difference:
            return True
        click.echo(str(self.tally))
        return False

    def _seen(self, steps: Iterable[Played]) -> Iterator[Played]:
        for played in steps:
            self.tally.take(played)
            self._at_ns = played.at_ns
            self._lines = self._words.lines(played)
            yield played

    def _show(self, played: Played) -> None:
        click.echo(f"#{played.number} {self._clock.seconds(played.at_ns)} {_in_words(played.event)}")
        for line in self._lines:
            click.echo(f"    {line}")
        if played.deadline_ns is not None:
            click.echo(f"    next deadline at {self._clock.seconds(played.deadline_ns)} s")

    def _show_hosts(self) -> None:
        for host in self._replay.snapshot().hosts:
            claim = host.claim
            click.echo(
                f"    {host.config.name}: {host.state}, epoch {host.epoch}, "
                f"claims advbase {claim.advbase} advskew {claim.advskew} demote {claim.demote}"
            )

    def _why(self, names: list[str]) -> None:
        names = names or [str(host.key) for host in self._replay.snapshot().hosts]
        for name in names:
            host = self._replay.host(name)
            for line in why(host, self._clock, self._at_ns) if host else [f"no host {name!r} now"]:
                click.echo(f"    {line}")


def _in_words(event: Input) -> str:
    """Return an input in one line."""
    if isinstance(event, DatagramsReceived):
        return f"DatagramsReceived {'; '.join(map(_datagram_in_words, event.datagrams))}"
    if not isinstance(event, DatagramReceived):
        packed = pack_input(event)
        name = packed.pop("is")
        return f"{name} {msgspec.json.encode(packed).decode()}" if packed else name
    return f"DatagramReceived {_datagram_in_words(event.datagram)}"


def _datagram_in_words(datagram: Datagram) -> str:
    try:
        advert = wire.decode(datagram.payload)
    except DecodeError:
        return f"{len(datagram.payload)} octets of {datagram.source}"
    values = f"vhid {advert.vhid} advbase {advert.advbase} advskew {advert.advskew} demote {advert.demote}"
    return f"{datagram.source} > {datagram.destination}: {values}"
