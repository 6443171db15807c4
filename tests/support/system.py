"""What tests of the real system need, and how its lack is shown."""

import os
import shutil
import sys

import pytest


def require(*programs: str) -> None:
    """Skip the test, visibly, unless it may make namespaces and the programs are installed.

    Under PYCARP_REQUIRE_SYSTEM=1 the lack is a failure: there, everything must run.
    """
    lacking = [program for program in ("ip", "bridge", *programs) if shutil.which(program) is None]
    if sys.platform != "linux":
        lacking.append("Linux")
    elif os.geteuid() != 0:
        lacking.append("root")
    if not lacking:
        return
    reason = f"needs {', '.join(lacking)}"
    if os.environ.get("PYCARP_REQUIRE_SYSTEM") == "1":
        pytest.fail(reason)
    pytest.skip(reason)
