"""The command, also as ``python -m pycarp``."""

import errno
import fcntl
import gc
import os
import sys

_NEEDED = {"click": "daemon", "rich": "daemon", "textual": "top"}
"""What may be missing, and the extra that it comes with."""

_FAILED = 1
_INTERRUPTED = 130
_UCARP = "ucarp"
"""Called by this name, as through a symbolic link, the program stands in for ucarp."""

_NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What is said of standard output on a full or broken disk; a reader that is gone (EPIPE) is click's business."""


def main() -> None:
    """Run the command, or complete one; say what to install when the extra it needs is missing."""
    if "PYCARP_COMPLETE" in os.environ:
        # The Tab key waits for no more than this.
        from pycarp.tab_completion.candidates import answer  # noqa: PLC0415

        answer(sys.argv[1:])
        return
    _open_what_is_closed()
    is_ucarp = os.path.basename(sys.argv[0]) == _UCARP
    try:
        # Until the command is imported: its modules live as long as the process, and to look for garbage finds none.
        gc.disable()
        from pycarp.cli import cli  # noqa: PLC0415  its dependencies are an extra

        try:
            cli(args=[_UCARP, *sys.argv[1:]] if is_ucarp else None, prog_name="pycarp")
        finally:
            sys.stdout.flush()
    except ModuleNotFoundError as exc:
        if exc.name not in _NEEDED:
            raise
        sys.exit(f"pycarp: the command needs {exc.name}: pip install 'pycarp[{_NEEDED[exc.name]}]'")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except OSError as exc:
        # Errors about a file are CarpErrors by now, so this is about the output.
        is_closed = exc.errno == errno.EBADF and not _is_writable(1)
        if not (is_closed or exc.errno in _NOT_WRITTEN) or exc.filename is not None:
            raise
        _forget_output()
        why = "it is closed" if is_closed else exc.strerror
        print(f"pycarp: cannot write to standard output: {why}", file=sys.stderr)  # noqa: T201
        sys.exit(_FAILED)


def _open_what_is_closed() -> None:
    """Open standard descriptors that the caller has closed (``>&-``): input is empty, errors go nowhere.

    Otherwise the next file or socket would get their numbers, and be read and written in their place. Output is opened
    for reading, so that whatever is written there fails, as on a full disk.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115  it stays open


def _is_writable(descriptor: int) -> bool:
    return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY


def _forget_output() -> None:
    """Throw away what could not be written: at exit, Python would try once more and complain."""
    descriptor = os.open(os.devnull, os.O_WRONLY)
    os.dup2(descriptor, sys.stdout.fileno())
    os.close(descriptor)


if __name__ == "__main__":
    main()
