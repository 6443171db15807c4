"""Breaks a copy of pycarp in each way of the table, and tells who notices: the simulator, the suite, both or nobody."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.mutations.table import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]
SUITE = (
    "tests/core",
    "tests/auth",
    "tests/runtime",
    "tests/aio",
    "tests/clauses",
    "tests/conformance",
    "tests/dialects",
)
SEARCH = """
import sys
from pycarp.sim.simulation import simulate
from pycarp.sim.faults.random_plans import random_plan
for seed in range(int(sys.argv[1])):
    for violation in simulate(random_plan(seed)).violations:
        print(f"seed {seed}: {violation.promise.name}")
        sys.exit(1)
"""


class Verdict(NamedTuple):
    """Who noticed a mutation; empty for nobody."""

    simulator: str
    suite: str


def judge(mutation: Mutation, *, seeds: int) -> Verdict:
    """Return who notices a mutation."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("src", "tests", "docs", "benchmarks", "pyproject.toml"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, copy / name)
        path = copy / "src" / "pycarp" / mutation.path
        path.write_text(path.read_text().replace(mutation.before, mutation.after))
        search = [sys.executable, "-c", SEARCH, str(seeds)]
        suite = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--timeout", "60"]
        return Verdict(
            "" if mutation.suite else _complaint(copy, search, lambda lines: lines[-1]),
            _complaint(copy, [*suite, *(mutation.suite or SUITE)], _first_failure),
        )


def _complaint(copy: Path, command: list[str], summary: Callable[[list[str]], str]) -> str:
    done = subprocess.run(
        command,
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    lines = (done.stdout + done.stderr).strip().splitlines()
    return "" if done.returncode == 0 else summary(lines)


def _first_failure(lines: list[str]) -> str:
    return next((line.split(" - ")[0] for line in lines if line.startswith(("FAILED", "ERROR"))), lines[-1])


def main() -> int:
    """Judge all mutations, or those whose names contain a word."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="plans for the simulator (300)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutations at a time")
    parser.add_argument("word", nargs="?", default="", help="only mutations whose name contains this")
    options = parser.parse_args()
    chosen = [each for each in MUTATIONS if options.word in each.name]
    unnoticed = 0
    print("| mutation | the simulator | the suite |\n| --- | --- | --- |", flush=True)
    with ThreadPoolExecutor(options.jobs) as pool:
        for mutation, verdict in zip(chosen, pool.map(partial(judge, seeds=options.seeds), chosen), strict=True):
            unnoticed += not any(verdict)
            print(f"| {mutation.name} | {verdict.simulator or '-'} | {verdict.suite or '-'} |", flush=True)
    print(f"\n{len(chosen)} mutations, {unnoticed} of them noticed by nobody", file=sys.stderr)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
