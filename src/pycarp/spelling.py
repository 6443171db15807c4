"""Guesses what a misspelt name was meant to be."""

import re
from collections.abc import Collection


def meant(name: str, known: Collection[str]) -> str:
    """Return the known name that resembles a name most; empty if none does."""
    # The beginning of one name, as mac is of mac_mode, is too short to resemble it by its letters.
    longer = [each for each in known if each.startswith(f"{name}_")]
    if len(longer) == 1:
        return longer[0]
    # Imported here because only mistakes need it.
    import difflib  # noqa: PLC0415

    return next(iter(difflib.get_close_matches(name, known, n=1)), "")


def guess(name: str, known: Collection[str]) -> str:
    """Return the end of a message, ``; did you mean web?``; empty if nothing resembles the name.

    Names with other digits are other names, and not misspelt: carp9 is not meant to be carp0.
    """
    digits = _digits(name)
    close = meant(name, [each for each in known if _digits(each) == digits])
    return f"; did you mean {close}?" if close else ""


def _digits(name: str) -> str:
    return re.sub(r"\D", "", name)
