"""Lists the waiting tasks and where they wait, for the message of a deadlock."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

_ASYNCIO = str(Path(asyncio.__file__).parent)
_PYCARP = str(Path(__file__).parent.parent)


def waiting_tasks(loop: asyncio.AbstractEventLoop) -> str:
    """Return one line per unfinished task: its name, its coroutine, the line where it waits, and for what.

    The tasks of pycarp itself are only counted.
    """
    tasks = sorted(asyncio.all_tasks(loop), key=_number)
    places = [(task, list(_frames(task.get_coro()))) for task in tasks]
    foreign = [f"  {_line(task, frames)}" for task, frames in places if not _is_ours(frames)]
    ours = len(tasks) - len(foreign)
    if ours:
        foreign.append(f"  {'and ' * bool(foreign)}{ours} {'task' if ours == 1 else 'tasks'} of pycarp")
    return "\n".join(foreign)


def _line(task: "asyncio.Task[Any]", frames: list[FrameType]) -> str:
    name = getattr(task.get_coro(), "__qualname__", repr(task.get_coro()))
    if not frames:
        return f"{task.get_name()} {name}"
    here = next((frame for frame in reversed(frames) if not _is_in(frame, _ASYNCIO, _PYCARP)), frames[-1])
    innermost = "" if frames[-1] is here else f", for {frames[-1].f_code.co_qualname}"
    return f"{task.get_name()} {name}: {here.f_code.co_filename}:{here.f_lineno}{innermost}"


def _frames(waiter: object) -> Iterator[FrameType]:
    """Yield the frames of a coroutine and of the awaitables that it waits for, outermost first."""
    while waiter is not None:
        frame = _first(waiter, "cr_frame", "gi_frame", "ag_frame")
        if isinstance(frame, FrameType):
            yield frame
        waiter = _first(waiter, "cr_await", "gi_yieldfrom", "ag_await")


def _first(of: object, *names: str) -> object:
    return next((value for name in names if (value := getattr(of, name, None)) is not None), None)


def _is_ours(frames: list[FrameType]) -> bool:
    known = all(_is_in(frame, _ASYNCIO, _PYCARP) for frame in frames)
    return known and any(_is_in(frame, _PYCARP) for frame in frames)


def _is_in(frame: FrameType, *folders: str) -> bool:
    return frame.f_code.co_filename.startswith(folders)


def _number(task: "asyncio.Task[Any]") -> tuple[int, str]:
    """Return a sort key by which Task-2 comes before Task-10."""
    name = task.get_name()
    return (int(name[5:]), name) if name.startswith("Task-") and name[5:].isdecimal() else (0, name)
