"""Reads trees that are drawn with lines."""

import re

_LINE = re.compile(r"([│├└─ ]*)([A-Za-z]\w+)")


def edges_of(tree: str) -> set[tuple[str, str]]:
    """Return each name of a tree with the one above it; the name of the root is above nothing, which is empty.

    Each step to the right is four characters, and whatever follows a name is left out.
    """
    above: list[str] = []
    edges = set()
    for line in filter(None, map(str.rstrip, tree.splitlines())):
        match = _LINE.match(line)
        assert match is not None, line
        depth = len(match[1]) // 4
        above[depth:] = [match[2]]
        edges.add((above[depth - 1] if depth else "", match[2]))
    return edges
