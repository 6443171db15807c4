"""Times from when to when something was so, in seconds, and what can be computed with them."""

from collections.abc import Iterable
from math import inf

Span = tuple[float, float]
Spans = tuple[Span, ...]

ALWAYS: Spans = ((-inf, inf),)


def union(*several: Iterable[Span]) -> Spans:
    """Return when any of them was so, in order and without overlaps."""
    merged: list[Span] = []
    for begin, end in sorted(span for spans in several for span in spans if span[0] < span[1]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return tuple(merged)


def intersection(one: Spans, *others: Spans) -> Spans:
    """Return when all of them were so."""
    for other in others:
        one = union((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return one


def complement(spans: Spans) -> Spans:
    """Return when it was not so."""
    borders = [-inf, *(border for span in union(spans) for border in span), inf]
    return tuple((a, b) for a, b in zip(borders[::2], borders[1::2], strict=True) if a < b)


def without(spans: Spans, *others: Iterable[Span]) -> Spans:
    """Return when it was so, but none of the others."""
    return intersection(union(spans), complement(union(*others)))
