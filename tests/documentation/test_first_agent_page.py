"""The tutorial on a first agent is true: its test passes, and the broken agent fails the other one."""

import subprocess
import sys
from pathlib import Path

from tests.support.pages import DOCS, block

PAGE = DOCS / "tutorials" / "your-first-agent.md"


def outcome(folder: Path, agent: str, *tests: str) -> str:
    """Return what pytest says of an agent and tests of the page, in a folder like the reader's."""
    (folder / "agent.py").write_text(block(PAGE, agent))
    for number, test in enumerate(tests):
        (folder / f"test_agent{number}.py").write_text(block(PAGE, test))
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(folder)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, cwd=folder).stdout


def test_the_agent_of_the_page_passes_its_tests(tmp_path: Path) -> None:
    said = outcome(tmp_path, "the agent", "the test", "the test that finds it out")

    assert "2 passed" in said, said


def test_the_broken_agent_is_found_out(tmp_path: Path) -> None:
    said = outcome(tmp_path, "the broken agent", "the test that finds it out")

    assert "1 failed" in said, said
    assert "AssertionError" in said
