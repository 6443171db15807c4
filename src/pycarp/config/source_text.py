"""The text of a file as its own system would see it: without what editors of other systems leave in it."""

_BYTE_ORDER_MARK = "\ufeff"


def plain(text: str) -> str:
    """Return a text without a byte order mark, its lines ended by a line feed alone."""
    return text.removeprefix(_BYTE_ORDER_MARK).replace("\r\n", "\n")


def logical_lines(text: str) -> list[tuple[int, str]]:
    """Return lines with those that a backslash continues joined, under the number of the first, from 1."""
    found: list[tuple[int, str]] = []
    is_continued = False
    for number, line in enumerate(text.split("\n"), start=1):
        body = line.removesuffix("\\")
        if is_continued:
            found[-1] = (found[-1][0], found[-1][1] + body)
        else:
            found.append((number, body))
        is_continued = body != line
    return found
