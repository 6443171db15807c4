"""The command, also as ``python -m pycarp``."""

import os
import sys

_NEEDED = {"click", "rich"}
_INTERRUPTED = 130
_UCARP = "ucarp"
"""Called by this name, as through a symbolic link, the program stands in for ucarp."""


def main() -> None:
    """Run the command; say what to install when the extra it needs is missing."""
    try:
        from pycarp.cli import cli  # noqa: PLC0415  its dependencies are an extra
    except ModuleNotFoundError as exc:
        if exc.name not in _NEEDED:
            raise
        sys.exit(f"pycarp: the command needs {exc.name}: pip install 'pycarp[daemon]'")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    is_ucarp = os.path.basename(sys.argv[0]) == _UCARP
    cli(args=[_UCARP, *sys.argv[1:]] if is_ucarp else None, prog_name="pycarp")


if __name__ == "__main__":
    main()
