"""Draws ``packet-walk.svg``: the way of an advertisement from the engine of the MASTER to the decision of a BACKUP.

``python docs/images/packet_walk.py`` writes the picture beside this file.
"""

from collections.abc import Iterator
from pathlib import Path

from drawing import COLOURS, box, path, svg, text

from pycarp.core.engine import Engine
from pycarp.core.reception import judge
from pycarp.vocabulary import CARP_GROUPS, CARP_PROTOCOL, CARP_TTL, Family
from pycarp.wire.ethernet import virtual_mac

PICTURE = Path(__file__).with_name("packet-walk.svg")

_WIDTH, _HEIGHT = 800, 470
_BOX_WIDTH, _BOX_HEIGHT, _STEP, _TOP = 330, 52, 78, 66
_LEFT, _RIGHT = 30, 440
_SEGMENT = _HEIGHT - 28


def picture() -> str:
    """Return the picture as SVG."""
    title = "The walk of an advertisement from the MASTER to a BACKUP"
    columns = [*_column(_LEFT, "MASTER", _sent()), *_column(_RIGHT, "BACKUP", _received())]
    return svg(_WIDTH, _HEIGHT, title, [*columns, *_wire()])


def _sent() -> list[tuple[str, str]]:
    return [
        ("the timer of the host expires", f"{Engine.__name__}.handle(TimePassed)"),
        ("signed: vhid, addresses, counter", "HMAC-SHA1; the effect Transmit"),
        (f"IPv4: protocol {CARP_PROTOCOL}, TTL {CARP_TTL}", f"to {CARP_GROUPS[Family.IPV4]}"),
        (f"Ethernet: from {virtual_mac(1)} for vhid 1", "the transport packet, AF_PACKET"),
    ]


def _received() -> list[tuple[str, str]]:
    return [
        ("decides: follow, take over, or yield", "the timer is set anew"),
        ("the digest is right", "else: not authentic"),
        (
            "TTL, length, checksum, vhid, version",
            f"in this order: reception.{judge.__name__}, else counted and dropped",
        ),
        ("the kernel passes it to the transport", "in a flood through a packet filter"),
    ]


def _column(left: int, state: str, steps: list[tuple[str, str]]) -> Iterator[str]:
    is_down = state == "MASTER"
    middle = left + _BOX_WIDTH // 2
    yield box(left, 16, _BOX_WIDTH, 34, fill=COLOURS[state], stroke=COLOURS[state])
    yield text(middle, 38, state, fill="#ffffff", weight="bold")
    for number, (first, second) in enumerate(steps):
        top = _TOP + number * _STEP
        yield box(left, top, _BOX_WIDTH, _BOX_HEIGHT)
        yield text(middle, top + 21, first)
        yield text(middle, top + 40, second, size=11)
        bottom, after = top + _BOX_HEIGHT, top + _STEP if number < len(steps) - 1 else _SEGMENT - 3
        yield path(f"M{middle} {bottom}V{after}" if is_down else f"M{middle} {after}V{bottom + 2}", is_arrow=True)


def _wire() -> Iterator[str]:
    yield path(f"M{_LEFT} {_SEGMENT}H{_RIGHT + _BOX_WIDTH}", width=4)
    yield text(_WIDTH / 2, _SEGMENT + 20, "the segment")


if __name__ == "__main__":
    PICTURE.write_text(picture())
