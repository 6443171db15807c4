"""The terminal application of ``pycarp top``.

It shows what ``host_rows`` says, twice a second so that timers count down, and asks before it changes anything.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.widgets import DataTable, Footer, Input, Static

from pycarp.aio.virtual_host import DRAIN_TIMEOUT_S, HAND_OVER_TIMEOUT_S
from pycarp.cli.host_words import is_alarm, names_of_addresses
from pycarp.cli.maintenance import ANSWERS_S, fate_of
from pycarp.cli.top.daemon_watch import DaemonWatch, WatchedDaemon, ask
from pycarp.cli.top.dialogs import Choice, Confirmation, Form, Help
from pycarp.cli.top.host_rows import (
    HEADINGS,
    TIMED_COLUMNS,
    UNKNOWN,
    HostRow,
    Order,
    RowKey,
    chosen_rows,
    details_of,
    event_line,
    head_of,
    rows_of,
    shown_events,
    widths_for,
)
from pycarp.core.engine import FULL_DEMOTION, HANDED_OVER
from pycarp.core.state import State
from pycarp.daemon.control_client import TIMEOUT_S
from pycarp.daemon.control_messages import (
    DemoteRequest,
    DoneReply,
    DrainReply,
    DrainRequest,
    HandoverReply,
    HandoverRequest,
    RestoreRequest,
    UndrainRequest,
)
from pycarp.errors import CarpError

_TICK_S = 0.5
_SEARCH_S = 3.0
_SOON_S = 0.1
_EVENTS_SHOWN = 50

_STATE_COLUMN = HEADINGS.index("STATE")
_STYLES = {"MASTER": "bold green", "BACKUP": "", "INIT": "bold red", UNKNOWN: "bold reverse"}

HELP = """\
MASTER holds the addresses, BACKUP waits, INIT takes no part, unknown
means that the daemon does not answer. ! marks a host with a problem.
NEXT counts down: "sends" to the next advertisement, "takes" to the
takeover, unless a MASTER advertises.

Up Down PgUp PgDn Home End j k  choose a host; below are its details
Tab  to details, events and back; arrows scroll
d  drain, and stay the last of all    u  undrain
m  demote for a cause                 r  restore: end a demotion
h  hand the addresses over now        b  end a hand-over
/  search    Escape  end it           p  only hosts with problems
o  order     e  transitions or all events
?  this help                          q  quit

All that changes anything asks before. No mouse is needed."""


class HostTable(DataTable[Text]):
    """The table of hosts, in which Home and End lead to the first and the last one."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home,g", "scroll_top", "First", show=False),
        Binding("end,G", "scroll_bottom", "Last", show=False),
    ]


class Top(App[None]):
    """Shows the hosts of the daemons at ``paths()``, which is asked again now and then."""

    ENABLE_COMMAND_PALETTE = False
    TITLE = "pycarp top"
    CSS = """
    #head { height: auto; max-height: 4; text-style: bold; }
    #hosts { height: 1fr; min-height: 4; }
    #details-box { height: 8; border-top: solid $foreground 50%; }
    #events-box { height: 5; border-top: solid $foreground 50%; }
    #message { height: auto; max-height: 4; display: none; text-style: bold; }
    #search { display: none; }
    ModalScreen { align: center middle; }
    .dialog { width: 76; max-width: 100%; height: auto; max-height: 100%; border: solid $foreground; padding: 0 1; }
    .dialog Horizontal { height: auto; }
    .dialog Input { border: none; height: 1; background: $foreground 15%; }
    .dialog OptionList { max-height: 10; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("d", "drain", "Drain"),
        Binding("u", "undrain", "Undrain"),
        Binding("m", "demote", "Demote"),
        Binding("r", "restore", "Restore"),
        Binding("h", "hand_over", "Hand over"),
        Binding("b", "take_back", "Take back", show=False),
        Binding("slash", "search", "Search", key_display="/"),
        Binding("p", "problems", "Problems", show=False),
        Binding("o", "order", "Order", show=False),
        Binding("e", "events", "Events", show=False),
        Binding("j", "move(1)", "Down", show=False),
        Binding("k", "move(-1)", "Up", show=False),
        Binding("escape", "plain", "All hosts", show=False),
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, paths: Callable[[], list[Path]], *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._paths = paths
        self._clock = clock
        self._watches: dict[Path, DaemonWatch] = {}
        self._rows: list[HostRow] = []
        self._cells: dict[RowKey, tuple[str, ...]] = {}
        self._order = Order.CONFIGURED
        self._only_problems = False
        self._all_events = False
        self._is_due = False
        self._names: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield Static(id="head", markup=False)
        yield HostTable(id="hosts", cursor_type="row", cell_padding=0)
        with VerticalScroll(id="details-box"):
            yield Static(id="details", markup=False)
        with VerticalScroll(id="events-box"):
            yield Static(id="events", markup=False)
        yield Static(id="message", markup=False)
        yield Input(id="search", placeholder="part of a name, state, address or problem", compact=True)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to watch."""
        self.theme = "ansi-dark"
        self._names = names_of_addresses()
        self._lay_out(self.size.width)
        self._table.focus()
        self._find_daemons()
        self.set_interval(_SEARCH_S, self._find_daemons)
        self.set_interval(_TICK_S, self.show_all)

    def on_resize(self, resized: Resize) -> None:
        """Give the columns what there is."""
        self._lay_out(resized.size.width)
        self.show_all()

    # What is shown

    @property
    def daemons(self) -> list[WatchedDaemon]:
        """What is known of each daemon."""
        return [each.daemon for each in self._watches.values()]

    @property
    def message(self) -> str:
        """What came of what was done last."""
        return str(self.query_one("#message", Static).content)

    @property
    def _is_shown(self) -> bool:
        """Whether the screen is there; timers and watches come before and after it, too."""
        return bool(self.screen_stack) and bool(self.screen_stack[0].query(HostTable))

    @property
    def _table(self) -> HostTable:
        return self.screen_stack[0].query_one(HostTable)

    @property
    def _selected(self) -> HostRow | None:
        row = self._table.cursor_row
        return self._rows[row] if 0 <= row < len(self._rows) else None

    def _find_daemons(self) -> None:
        """Watch daemons that there were none of before; the first one is watched even while there is none."""
        for path in self._paths():
            if path not in self._watches:
                watch = DaemonWatch(WatchedDaemon(path=path), self._show_soon, self._clock)
                self._watches[path] = watch
                self.run_worker(watch.run(), exit_on_error=True)

    def _show_soon(self) -> None:
        """Show what is new; many changes at once are shown once."""
        if not self._is_due:
            self._is_due = True
            self.set_timer(_SOON_S, self.show_all)

    def show_all(self) -> None:
        """Show everything as it is now, below a dialog as well."""
        self._is_due = False
        if not self._is_shown:
            return
        now_s = self._clock()
        base = self.screen_stack[0]
        heads = [head_of(each, now_s) for each in self.daemons] or ["no pycarp runs here; waiting for one"]
        chosen = [each for each in (self._sorting(), self._filtering()) if each]
        base.query_one("#head", Static).update("\n".join([*heads, *chosen]))
        search = base.query_one("#search", Input).value
        rows = chosen_rows(
            rows_of(self.daemons, now_s), text=search, only_problems=self._only_problems, order=self._order
        )
        self._show_rows(rows, self._table)
        self._show_details()
        events = shown_events(self.daemons, everything=self._all_events)[-_EVENTS_SHOWN:]
        text = "\n".join(map(event_line, reversed(events))) or "nothing has happened"
        base.query_one("#events", Static).update(text)
        base.query_one("#events-box").border_title = "all events" if self._all_events else "transitions and warnings"

    def _sorting(self) -> str:
        return "" if self._order is Order.CONFIGURED else f"sorted {self._order.value}"

    def _filtering(self) -> str:
        return "only hosts with problems (p: all)" if self._only_problems else ""

    def _lay_out(self, columns: int) -> None:
        table, cursor = self._table, self._table.cursor_row
        table.clear(columns=True)
        for heading, width in zip(HEADINGS, widths_for(columns), strict=True):
            table.add_column(Text(heading, style="bold"), width=width, key=heading)
        self._cells, self._rows = {}, []
        table.move_cursor(row=cursor)

    def _show_rows(self, rows: list[HostRow], table: HostTable) -> None:
        """Change the cells that differ; timers only where they are seen."""
        keys = [row.key for row in rows]
        if keys != [row.key for row in self._rows]:
            self._replace_rows(rows, table)
            return
        self._rows = rows
        first = int(table.scroll_offset.y)
        seen = range(first, first + table.size.height)
        for number, row in enumerate(rows):
            before, cells = self._cells[row.key], row.cells
            if number not in seen:
                # What is not seen waits until it is.
                cells = tuple(before[each] if each in TIMED_COLUMNS else cells[each] for each in range(len(cells)))
            if cells == before:
                continue
            for column, (old, new) in enumerate(zip(before, cells, strict=True)):
                if old != new:
                    table.update_cell(_table_key(row.key), HEADINGS[column], _cell(row, column, new))
            self._cells[row.key] = cells

    def _replace_rows(self, rows: list[HostRow], table: HostTable) -> None:
        """Show other rows, with the cursor on the same host."""
        before = self._rows[table.cursor_row].key if 0 <= table.cursor_row < len(self._rows) else None
        self._rows = rows
        self._cells = {row.key: row.cells for row in rows}
        table.clear()
        for row in rows:
            cells = [_cell(row, column, text) for column, text in enumerate(self._cells[row.key])]
            table.add_row(*cells, key=_table_key(row.key))
        keys = [row.key for row in rows]
        table.move_cursor(row=keys.index(before) if before in keys else 0)

    def _show_details(self) -> None:
        base = self.screen_stack[0]
        row = self._selected
        box, text = base.query_one("#details-box"), Text()
        if row is None:
            box.border_title = "no host"
        else:
            title, *lines = details_of(row, self._names)
            box.border_title = title
            for line in lines:
                text.append(f"{line}\n", style="bold red" if is_alarm(line) else "")
        base.query_one("#details", Static).update(text)

    def on_data_table_row_highlighted(self, _highlighted: DataTable.RowHighlighted) -> None:
        """Show the details of the host under the cursor."""
        if self._is_shown:
            self._show_details()

    # What is typed

    def action_move(self, rows: int) -> None:
        """Move the cursor."""
        self._table.move_cursor(row=self._table.cursor_row + rows)

    def action_search(self) -> None:
        """Ask for a text that rows contain."""
        search = self.query_one("#search", Input)
        search.display = True
        search.focus()

    def on_input_changed(self, changed: Input.Changed) -> None:
        """Show the rows that contain the text."""
        if changed.input.id == "search":
            self.show_all()

    def on_input_submitted(self, submitted: Input.Submitted) -> None:
        """Go back to the table, which stays as it is."""
        if submitted.input.id == "search":
            self._table.focus()

    def action_plain(self) -> None:
        """End the search, and forget the message."""
        search = self.query_one("#search", Input)
        search.value = ""
        search.display = False
        self.query_one("#message").display = False
        self._table.focus()
        self.show_all()

    def action_problems(self) -> None:
        """Show only hosts with a problem, or all."""
        self._only_problems = not self._only_problems
        self.show_all()

    def action_order(self) -> None:
        """Sort otherwise."""
        orders = list(Order)
        self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        self.show_all()

    def action_events(self) -> None:
        """Show all events, or transitions and warnings only."""
        self._all_events = not self._all_events
        self.show_all()

    def action_help(self) -> None:
        """Say what the keys do."""
        self.push_screen(Help(HELP))

    # What changes hosts

    @work
    async def action_drain(self) -> None:
        """Ask for a reason, and drain the host."""
        if (row := self._changeable()) is None:
            return
        name = row.host.name
        fate = "the next host takes over, and this" if row.host.state == State.MASTER else "this"
        found = await self.push_screen_wait(
            Form(f"Drain {name}, which is {row.host.state}? Then {fate} one stays the last of all.", [("Reason:", "")])
        )
        if found is None:
            return

        async def drain() -> str:
            message = DrainRequest(host=_host(row), reason=" ".join(found[0].split()), timeout_s=DRAIN_TIMEOUT_S)
            timeout_s = TIMEOUT_S + DRAIN_TIMEOUT_S + ANSWERS_S
            reply = await ask(row.daemon.path, message, DrainReply, timeout_s=timeout_s)
            lines = [f"{each.host}: drained; {fate_of(each, reply.took_s)}" for each in reply.hosts]
            return _with_warning("\n".join(lines), reply.warning)

        await self._do(f"draining {name}", row, drain)

    @work
    async def action_undrain(self) -> None:
        """Ask, and take the host back into service."""
        if (row := self._changeable()) is not None:
            message = UndrainRequest(_host(row))
            await self._ask_and_do(row, f"Take {row.host.name} back into service?", message, "not drained any more")

    @work
    async def action_demote(self) -> None:
        """Ask for an amount and a cause, and demote the host."""
        if (row := self._changeable()) is None:
            return
        fields = [(f"By how much (1-{FULL_DEMOTION}, or last):", ""), ("Cause:", "")]
        found = await self.push_screen_wait(Form(f"Demote {row.host.name}, which is {row.host.state}?", fields))
        if found is None:
            return
        amount, cause = found[0].strip().lower(), " ".join(found[1].split())
        by = None if amount == "last" else int(amount) if amount.isascii() and amount.isdigit() else 0
        if (by is not None and not 1 <= by <= FULL_DEMOTION) or not cause:
            why = "a demotion needs a cause" if not cause else f"{amount!r} is neither 1-{FULL_DEMOTION} nor last"
            self._say(f"nothing is changed: {why}")
            return
        message = DemoteRequest(host=_host(row), cause=cause, by=by)
        done = f"{'the last of all' if by is None else f'demoted by {by}'}: {cause}"
        await self._do(f"demoting {row.host.name}", row, lambda: self._done(row, message, done))

    @work
    async def action_restore(self) -> None:
        """Ask which demotion, and end it."""
        if (row := self._changeable()) is None:
            return
        causes = [each.cause for each in row.host.demotion if each.is_wanted and each.cause != HANDED_OVER]
        if not causes or row.host.is_drained:
            hint = "it is drained: u ends that" if row.host.is_drained else "no pycarp demote is in force"
            self._say(f"nothing to restore on {row.host.name}: {hint}")
            return
        cause = await self.push_screen_wait(Choice(f"End which demotion of {row.host.name}?", causes))
        if cause is not None:
            message = RestoreRequest(host=_host(row), cause=cause)
            done = f"not demoted any more: {cause}"
            await self._do(f"restoring {row.host.name}", row, lambda: self._done(row, message, done))

    @work
    async def action_hand_over(self) -> None:
        """Ask, and leave the addresses to the next host."""
        if (row := self._changeable()) is None:
            return
        question = f"Hand the addresses of {row.host.name} over to the next host, and take nothing back by itself?"
        if await self.push_screen_wait(Confirmation(question)):
            await self._do(f"handing {row.host.name} over", row, lambda: _hand_over(row, is_back=False))

    @work
    async def action_take_back(self) -> None:
        """Ask, and end the demotion of a hand-over."""
        if (row := self._changeable()) is None:
            return
        question = f"End the hand-over of {row.host.name}? If it preempts, it takes its addresses back."
        if await self.push_screen_wait(Confirmation(question)):
            await self._do(f"ending the hand-over of {row.host.name}", row, lambda: _hand_over(row, is_back=True))

    def _changeable(self) -> HostRow | None:
        """Return the host under the cursor; None, and say why, where nothing can be changed."""
        row = self._selected
        if row is None:
            self._say("there is no host to change")
        elif not row.is_believed:
            self._say(f"the daemon of {row.host.name} does not answer: nothing can be changed")
            return None
        return row

    async def _ask_and_do(self, row: HostRow, question: str, message: UndrainRequest, done: str) -> None:
        if await self.push_screen_wait(Confirmation(question)):
            await self._do(f"{row.host.name}: asking", row, lambda: self._done(row, message, done))

    async def _done(self, row: HostRow, message: UndrainRequest | DemoteRequest | RestoreRequest, done: str) -> str:
        reply = await ask(row.daemon.path, message, DoneReply, timeout_s=TIMEOUT_S)
        return _with_warning(f"{row.host.name}: {done}", reply.warning)

    async def _do(self, doing: str, row: HostRow, change: Callable[[], Awaitable[str]]) -> None:
        """Change something, and say what came of it."""
        self._say(f"{doing} ...")
        try:
            self._say(await change())
        except CarpError as exc:
            self._say(f"{row.host.name}: failed: {exc}")
        except asyncio.CancelledError:
            self._say(f"{doing}: given up; it may have been done")
            raise
        self._watches[row.daemon.path].look_again()

    def _say(self, text: str) -> None:
        if not self._is_shown:
            return
        message = self.screen_stack[0].query_one("#message", Static)
        message.update(f"{datetime.now():%H:%M:%S} {text}")
        message.display = True


async def _hand_over(row: HostRow, *, is_back: bool) -> str:
    message = HandoverRequest(host=_host(row), timeout_s=HAND_OVER_TIMEOUT_S, is_back=is_back)
    reply = await ask(row.daemon.path, message, HandoverReply, timeout_s=TIMEOUT_S + HAND_OVER_TIMEOUT_S)
    if is_back:
        return f"{reply.host}: demoted by the hand-over no longer"
    return f"{reply.host}: {reply.master} is MASTER after {reply.took_s * 1000:.1f} ms"


def _host(row: HostRow) -> str:
    return f"{row.host.vhid}@{row.host.interface}"


def _with_warning(text: str, warning: str) -> str:
    return f"{text}; warning: {warning}" if warning else text


def _table_key(key: RowKey) -> str:
    return f"{key.vhid}@{key.interface} {key.control}"


def _cell(row: HostRow, column: int, text: str) -> Text:
    """Return a text with its style; what a colour says the words say as well."""
    gap = " " if column < len(HEADINGS) - 1 else ""
    style = _STYLES.get(row.state, "") if column == _STATE_COLUMN else "bold" if row.problem else ""
    return Text(f"{text}{gap}", style=style, no_wrap=True, overflow="ellipsis")
