"""Replies: how one pycarp host answers the advertisement of another, by the counter of its own advertisement.

The digest covers the counter and the constant parts, vhid and addresses. Anybody who captured a packet can change
advbase and advskew. Receivers accept any counter (carp.md 4.3). A reply therefore has a counter that is a function of
the answered one. Only a holder of the key can sign it, and only after the answered advertisement was sent; a captured
or duplicated packet is no reply to a new one. For kernels and ucarp a reply is an ordinary advertisement.

The function multiplies by a large odd number. Hosts that adopt a counter continue from it by ones (carp.md 1.5). With
this function their next advertisement after a reply does not look like a reply to the next number.
"""

from enum import Enum

_MODULUS = 1 << 64


class Reply(Enum):
    """The kinds of replies; the value is the factor of the counter, which is odd and therefore invertible."""

    FAREWELL = 0x9E37_79B9_7F4A_7C15
    """The sender heard the other MASTER, has yielded to it, and has dropped the addresses."""

    ANSWER = 0xC2B2_AE3D_27D4_EB4F
    """The sender heard the other MASTER, and stays MASTER."""

    def __init__(self, factor: int) -> None:
        self._inverse = pow(factor, -1, _MODULUS)

    def to(self, counter: int) -> int:
        """Return the counter that answers ``counter`` (0 to 2**64 - 1)."""
        return (counter * self.value + 1) % _MODULUS

    def answered(self, counter: int) -> int:
        """Return the counter that ``counter`` answers, if it is a reply of this kind."""
        return ((counter - 1) * self._inverse) % _MODULUS
