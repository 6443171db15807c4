"""A probe that runs a program: no shell, one process group, and nothing of it is left at the timeout."""

from collections.abc import Sequence

from pycarp.errors import ConfigError
from pycarp.health.health_check import Answer, Finding, Probe
from pycarp.system.programs import run_program


def program(argv: Sequence[str]) -> Probe:
    """Return a probe that passes if a program ends with exit status 0, and fails with any other status.

    ``argv`` is the program and its arguments; a program without a slash is looked for in ``PATH``. What it writes is
    part of the detail. It is unknown if the program cannot be run. At the timeout of the check, the program and its
    children are ended. Raises ConfigError unless ``argv`` is a list of texts.
    """
    words = words_of(argv)

    async def look() -> Finding:
        outcome = await run_program(words, timeout_s=None, grace_s=0, ends_children=True)
        if not outcome.was_run:
            return Finding(Answer.UNKNOWN, outcome.error)
        wrote = f": {outcome.output}" if outcome.output else ""
        if outcome.error:
            return Finding(Answer.FAIL, f"{words[0]} {outcome.error}{wrote}")
        return Finding(Answer.OK, f"{words[0]} ended with exit status 0{wrote}")

    return look


def words_of(argv: object) -> tuple[str, ...]:
    """Return a program and its arguments; raises ConfigError unless they are a list of texts and can be run."""
    way_out = 'write ["/usr/bin/pg_isready", "--quiet"]'
    if isinstance(argv, str):
        raise ConfigError(f'program "{argv}" is one text, and no shell splits it; {way_out}')
    if not isinstance(argv, list | tuple) or not argv or not all(isinstance(each, str) for each in argv):
        raise ConfigError(f"program {argv!r} is no list of texts; {way_out}")
    if not argv[0] or any("\0" in each for each in argv):
        raise ConfigError(f"program {argv!r} cannot be the name and the arguments of one; {way_out}")
    return tuple(argv)
