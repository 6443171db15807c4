"""The value of the fixture ``cluster``: makes clusters, and closes them all after the test."""

from types import TracebackType
from typing import Any, Self

from pycarp.testing.cluster import Cluster


class Clusters:
    """``await cluster(...)`` starts a cluster; the arguments are those of ``Cluster``."""

    def __init__(self) -> None:
        self._made: list[Cluster] = []

    async def __call__(self, *args: Any, **options: Any) -> Cluster:
        """Return a cluster whose members have just started."""
        cluster = Cluster(*args, **options)
        self._made.append(cluster)
        return await cluster.__aenter__()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close every cluster, the last one first."""
        try:
            while self._made:
                await self._made[-1].close()
                self._made.pop()
        finally:
            self._made.clear()

    def sections(self) -> list[tuple[str, str]]:
        """Return a title and the last lines of each cluster's transcript, for the report of a failed test."""
        return [
            (f"pycarp cluster{f' {number}' if len(self._made) > 1 else ''}: virtual seconds, member, what", each.tail())
            for number, each in enumerate(self._made, 1)
        ]
