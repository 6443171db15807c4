"""The upgrade of a pair, as the documentation has it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.system import require

pytestmark = pytest.mark.system

SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "upgrade-a-pair.sh"
ENOUGH = 500
"""Requests that make a result: a loaded machine asks fewer than 200 a second."""

MOST_BROKEN = 4
"""Connections that two changes of hosts may break: one request begins every 5 ms and takes less than that."""


def test_a_pair_is_upgraded_under_a_client_without_a_failed_request() -> None:
    require("bash", "ip")

    done = subprocess.run(
        [SCRIPT], env=os.environ | {"PYTHON": sys.executable}, capture_output=True, text=True, check=False
    )

    found = re.search(
        r"^(\d+) requests: (\d+) failed; (\d+) by a, (\d+) by b; (\d+) asked twice", done.stdout, re.MULTILINE
    )
    assert found, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(found[1]) > ENOUGH
    assert int(found[2]) == 0
    assert min(int(found[3]), int(found[4])) > 0
    assert int(found[5]) <= MOST_BROKEN
    assert done.stdout.count("upgraded to pycarp, version") == 2
