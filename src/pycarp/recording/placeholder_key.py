"""A passphrase that may be written down: it was drawn for one recording and protects nothing."""

from collections.abc import Callable

from pycarp.auth.key import Passphrase
from pycarp.errors import RecordingError

_LETTERS = "abcdefghijkmnopqrstuvwxyz23456789"
_DRAWN = 17


class PlaceholderKey(Passphrase):
    """A random passphrase of one recording. The format takes no other kind, so no real one gets into a file.

    All have 18 octets and begin with a blank, so nothing about the real one shows, and whatever ``auth/diagnosis.py``
    can find out about a real one it can find out about this one too.
    """

    __slots__ = ()

    @classmethod
    def draw(cls, entropy: Callable[[], int]) -> "PlaceholderKey":
        """Return a new placeholder key; ``entropy`` returns 64 random bits."""
        number = entropy() << 64 | entropy()
        letters = []
        for _ in range(_DRAWN):
            number, which = divmod(number, len(_LETTERS))
            letters.append(_LETTERS[which])
        return cls(" " + "".join(letters))

    @property
    def text(self) -> str:
        """The passphrase itself."""
        return self.key.rstrip(b"\x00").decode()


def text_of(secret: Passphrase) -> str:
    """Return a placeholder key as text; RecordingError for a real passphrase."""
    if not isinstance(secret, PlaceholderKey):
        raise RecordingError("a passphrase that is not a throw-away one is not written down")
    return secret.text
