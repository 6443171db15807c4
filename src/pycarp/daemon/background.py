"""Moves the process to the background, and keeps the exit status of a start that fails."""

import os
import sys

_READY = 0


class Background:
    """A pipe to the process that waits in the foreground for the result of the start."""

    def __init__(self, to_foreground: int) -> None:
        self._to_foreground = to_foreground

    @classmethod
    def enter(cls, *, status_of_a_death: int) -> "Background":
        """Return in a new process that has a session of its own and ``/`` for its folder; the old one waits.

        The old process exits with 0 as soon as ``ready`` is called here, with the status that ``fail`` is given, or
        with ``status_of_a_death`` if this process ends without a word. Call it before any thread or loop is started.
        """
        sys.stdout.flush()
        sys.stderr.flush()
        from_background, to_foreground = os.pipe()
        if os.fork():
            os.close(to_foreground)
            word = os.read(from_background, 1)
            os._exit(word[0] if word else status_of_a_death)
        os.close(from_background)
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        return cls(to_foreground)

    def ready(self) -> None:
        """Detach from the terminal and from the process in the foreground."""
        sys.stdout.flush()
        sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)
        self._say(_READY)

    def fail(self, status: int) -> None:
        """End the process in the foreground with a status."""
        self._say(status)

    def _say(self, status: int) -> None:
        if self._to_foreground < 0:
            return
        descriptor, self._to_foreground = self._to_foreground, -1
        os.write(descriptor, bytes([status]))
        os.close(descriptor)
