"""Shows a demonstration: a live table on a terminal, plain lines in a pipe."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from pycarp.core.state import State

_COLOURS = {State.MASTER: "bold green", State.BACKUP: "yellow", State.INIT: "red"}
_PIPE_WIDTH = 120


class LiveDisplay:
    """Prints lines with their time, and keeps a table of who is what below them."""

    def __init__(self, console: Console | None = None) -> None:
        found = console or Console(highlight=False)
        self._console = found if found.is_terminal else Console(file=found.file, width=_PIPE_WIDTH, highlight=False)
        self._states: dict[tuple[str, str], State | None] = {}
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, transient=True, refresh_per_second=20)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def headline(self, text: str) -> None:
        """Show what is going to happen."""
        self._console.print(f"\n[bold]{text}[/bold]")

    def line(self, at_s: float, text: str) -> None:
        """Show what happened, and when."""
        self._console.print(f"[dim]{at_s:7.3f} s[/dim]  {text}", soft_wrap=True)

    def state(self, machine: str, address: str, state: State | None) -> None:
        """Show the state of a machine for an address; None for a machine that is dead."""
        self._states[machine, address] = state
        if self._live is not None:
            self._live.update(self._table())

    def table(self, table: Table) -> None:
        """Print a table that stays."""
        if not self._console.is_terminal:
            table.box = None
        self._console.print()
        self._console.print(table)

    def _table(self) -> Table:
        addresses = list(dict.fromkeys(address for _machine, address in self._states))
        table = Table(title="who answers now", title_justify="left")
        for heading in ("machine", *addresses):
            table.add_column(heading, min_width=14)
        for machine in dict.fromkeys(machine for machine, _address in self._states):
            table.add_row(machine, *(self._cell(machine, address) for address in addresses))
        return table

    def _cell(self, machine: str, address: str) -> str:
        if (machine, address) not in self._states:
            return "[dim]-[/dim]"
        state = self._states[machine, address]
        return "[dim]dead[/dim]" if state is None else f"[{_COLOURS[state]}]{state.value}[/]"
