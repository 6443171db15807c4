"""What pycarp and keepalived log about the states of their virtual hosts, counted while they write it."""

from pathlib import Path

LINES = {
    "pycarp": {"BACKUP": "INIT -> BACKUP", "MASTER": "BACKUP -> MASTER"},
    "keepalived": {"BACKUP": "Entering BACKUP STATE", "MASTER": "Entering MASTER STATE"},
}
"""What each logs for every virtual host that becomes this after the start."""


class Log:
    """How many lines of a file have some words; the file is read on where it ended before."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0
        self._seen: list[bytes] = []

    def count(self, words: str) -> int:
        """Return how many whole lines have the words by now."""
        with self._file.open("rb") as file:
            file.seek(self._at)
            added = file.read()
        whole = added[: added.rfind(b"\n") + 1]
        self._at += len(whole)
        self._seen.append(whole)
        return sum(each.count(words.encode()) for each in self._seen)
