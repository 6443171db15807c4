"""Guesses what a misspelt name was meant to be."""

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
