"""Runs trials in several processes; Ctrl-C ends the run and keeps the results so far."""

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pycarp.errors import CarpError
from pycarp.sim.faults.experiments import Result, Trial, run

_WORTH_A_PROCESS = 8
"""With fewer trials than this, starting a process takes longer than running them."""


class WorkerPool:
    """``results`` are in the order of the trials, None for one that was not run; ``is_interrupted`` says why."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self.is_interrupted = False

    def work(self, trials: Sequence[Trial]) -> list[Result | None]:
        """Run all trials; raises CarpError when a process was killed."""
        results: list[Result | None] = [None] * len(trials)
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"))
        with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as progress:
            task = progress.add_task("simulating", total=sum(each.weight for each in trials))
            try:
                for number, result in self._each(trials):
                    results[number] = result
                    progress.advance(task, trials[number].weight)
            except KeyboardInterrupt:
                self.is_interrupted = True
        return results

    def _each(self, trials: Sequence[Trial]) -> Iterator[tuple[int, Result]]:
        # Some of each kind first: a report after Ctrl-C then has results of every kind.
        order = sorted(range(len(trials)), key=lambda number: trials[number].seed)
        if self._jobs == 1 or len(trials) < _WORTH_A_PROCESS:
            yield from ((number, run(trials[number])) for number in order)
            return
        with _interrupts_ignored():
            forkserver.ensure_running()
        # Not fork: this process has threads, those of the progress bar among them.
        pool = ProcessPoolExecutor(self._jobs, mp_context=multiprocessing.get_context("forkserver"))
        try:
            futures: dict[Future[Result], int] = {}
            with _interrupt_between_turns() as turn:
                for number in order:
                    turn()
                    futures[pool.submit(run, trials[number])] = number
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as exc:
            raise CarpError(
                "a process of the simulation was killed; is there enough memory? --jobs 1 takes less"
            ) from exc
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _interrupt_between_turns() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if there was a SIGINT since; nothing else does meanwhile.

    A pool that is interrupted while it starts a process never ends.
    """
    interrupts: list[int] = []

    def turn() -> None:
        if interrupts:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, lambda number, _frame: interrupts.append(number))
    try:
        yield turn
        turn()
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Ignore SIGINT in processes started meanwhile, and in theirs: a terminal sends Ctrl-C to the whole group."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
