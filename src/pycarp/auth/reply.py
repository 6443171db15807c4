"""How one pycarp host answers the advertisement of another, in the number that every advertisement carries.

Nothing in an advertisement is signed but the counter (and what never changes: vhid and addresses); advbase and advskew
can be edited by anybody who captured a packet. Receivers accept any counter (carp.md 4.3). So an advertisement that
answers another one says so with its counter, a function of the other's. Only a holder of the key can sign it, and only
after the other one was sent; a captured or duplicated packet answers nothing new. Kernels and ucarp, which know nothing
of this, see an ordinary advertisement.

The function multiplies by a large odd number. Hosts that adopt a counter go on from it by ones (carp.md 1.5); what such
a host sends after it has heard a reply must not look like a reply to the next number, and here it does not.
"""

from enum import Enum

_MODULUS = 1 << 64


class Reply(Enum):
    """What an answering advertisement says; the value is the factor of its counter, odd so that it can be undone."""

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
        """Return which counter ``counter`` answers, if it is such a reply."""
        return ((counter - 1) * self._inverse) % _MODULUS
