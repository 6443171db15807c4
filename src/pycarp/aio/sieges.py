"""Defends the links of a node: watches how much of what is read is of no use, and has the kernel drop most of it."""

from collections.abc import Callable

from pycarp.core.engine import Engine
from pycarp.core.inputs import SiegeChanged
from pycarp.core.siege import Screen, Siege, Tally
from pycarp.recording import Recorder
from pycarp.transports.base import Screening

_WORD_LENGTH = 4


class Sieges:
    """One ``Siege`` for each open link of a transport that can screen."""

    def __init__(self, engine: Engine | Recorder, transport: Screening, submit: Callable[[SiegeChanged], None]) -> None:
        self._engine = engine
        self._transport = transport
        self._submit = submit
        self._sieges: dict[str, Siege] = {}
        self._reads: dict[str, int] = {}
        self._screens: dict[str, Screen] = {}

    def look(self, now_ns: int) -> None:
        """Judge every link; called after each reading.

        In a siege this also keeps the screen up to date: what was heard once does not pass again.
        """
        reads = self._transport.reads()
        for link in list(self._sieges):
            if reads.get(link, 0) < self._reads[link]:
                # Closed, and perhaps opened anew.
                del self._sieges[link]
                self._screens.pop(link, None)
        self._reads = reads
        for link, read in reads.items():
            fresh, repeated = self._engine.heard_on(link)
            tally = Tally(read - fresh - repeated, repeated)
            siege = self._sieges.get(link)
            if siege is None:
                siege = self._sieges[link] = Siege(tally, now_ns)
            has_changed = siege.judge(tally, now_ns)
            if has_changed or siege.is_on:
                self._renew(link, siege)
            if has_changed:
                self._submit(SiegeChanged(link, siege.is_on, siege.rate, siege.every))

    def _renew(self, link: str, siege: Siege) -> None:
        """Put the screen of now in place; one that the kernel refuses leaves the former, and is tried again."""
        screen = self._screen(link, siege) if siege.is_on else None
        if screen == self._screens.get(link):
            return
        try:
            self._transport.screen(link, screen)
        except OSError:
            return
        if screen is None:
            del self._screens[link]
        else:
            self._screens[link] = screen

    def _screen(self, link: str, siege: Siege) -> Screen:
        expected = self._engine.expected_on(link)
        return Screen(_words(expected.upcoming), _words(expected.repeated), siege.every, siege.every_repeated)


def _words(digests: tuple[bytes, ...]) -> tuple[int, ...]:
    return tuple(int.from_bytes(digest[:_WORD_LENGTH], "big") for digest in digests)
