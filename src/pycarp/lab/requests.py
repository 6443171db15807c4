"""What the client's requests say about an address: the longest gap, the failures, the slow ones."""

import json
from collections.abc import Iterable, Sequence
from itertools import pairwise

import msgspec

SLOW_S = 0.1


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One request: when it began (wall clock), to which address, whether and how fast that answered.

    ``is_served`` says whether the user got the page, be it from the other address.
    """

    at_s: float
    address: str
    is_ok: bool
    took_s: float
    is_served: bool

    @property
    def is_slow(self) -> bool:
        """Answered, but later than a user likes."""
        return self.is_ok and self.took_s > SLOW_S


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """How an address served during a span of time."""

    gap_s: float
    requests: int
    failed: int
    slow: int


def parse(lines: Iterable[str]) -> list[Request]:
    """Return the requests of the client's output in the order of their beginning; a line cut short is left out."""
    found = []
    for line in lines:
        if line.endswith("}\n"):
            item = json.loads(line)
            found.append(
                Request(
                    at_s=item["at"],
                    address=item["address"],
                    is_ok=item["ok"],
                    took_s=item["s"],
                    is_served=item["served"],
                )
            )
    return sorted(found, key=lambda request: request.at_s)


def service(requests: Sequence[Request], address: str, since_s: float, until_s: float) -> Service:
    """Return how an address served requests that began in a span.

    The gap is the longest time between the beginnings of two successful requests with none between them.
    """
    asked = [each for each in requests if each.address == address and since_s <= each.at_s < until_s]
    answered = [each.at_s for each in asked if each.is_ok]
    edges = [since_s, *answered, until_s]
    gaps = [later - earlier for earlier, later in pairwise(edges)]
    return Service(
        gap_s=max(gaps),
        requests=len(asked),
        failed=sum(not each.is_ok for each in asked),
        slow=sum(each.is_slow for each in asked),
    )
