"""Looks for octets that a target does not bear, with atheris (``pip install 'pycarp[fuzz]'``).

    python -m tests.fuzz codec --seconds 60
    python -m tests.fuzz all --seconds 600

New seeds and crashes go to ``--found``, which is kept between runs if it is named; ``corpus`` is only read. Each target
runs in a process of its own. Exit status: 0 nothing found, 1 something crashed or hung, 2 atheris is missing.
"""

import argparse
import contextlib
import importlib.util
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
MEMORY_MIB = 1024
TIMEOUT_S = 20
"""An input that takes longer hangs."""

LONGEST = 4096


def fuzz(name: str, seconds: int, found: Path) -> None:
    """Fuzz one target in this process, which ends with it."""
    import atheris  # noqa: PLC0415  optional

    with atheris.instrument_imports(include=["pycarp"]):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415  instrumented by this
    fresh = found / name
    fresh.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST}",
        f"-artifact_prefix={found}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(fresh), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


@contextlib.contextmanager
def _folder(found: Path | None) -> Iterator[Path]:
    if found is not None:
        found.mkdir(parents=True, exist_ok=True)
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="pycarp-fuzz") as folder:
        yield Path(folder)


def _run(name: str, seconds: int, found: Path) -> bool:
    """Fuzz one target in a process of its own; say whether nothing was found."""
    argv = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(seconds), "--found", str(found), "--here"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    stats = dict(line.removeprefix("stat::").split(":", 1) for line in done.stderr.splitlines() if "stat::" in line)
    count, rate = (stats.get(key, "?").strip() for key in ("number_of_executed_units", "average_exec_per_sec"))
    verdict = "ok" if done.returncode == 0 else "FAILED"
    print(f"{name:<15} {verdict:<7} {count:>10} runs {rate:>7} a second", flush=True)
    if done.returncode != 0:
        told = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("INFO")]
        print("\n".join(told), flush=True)
    return done.returncode == 0


def main() -> None:
    """Fuzz a target, or each in turn."""
    names = sorted(each.name for each in CORPUS.iterdir())
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__, formatter_class=_Formatter)
    parser.add_argument("target", choices=["all", *names], help="what to fuzz")
    parser.add_argument("--seconds", type=int, default=60, help="in all (default 60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time (default 1)")
    parser.add_argument("--found", type=Path, help="a folder for new seeds and crashes")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install 'pycarp[fuzz]'", file=sys.stderr)
        sys.exit(2)
    if options.here:
        fuzz(options.target, options.seconds, options.found)
        return
    chosen = names if options.target == "all" else [options.target]
    with _folder(options.found) as found:
        each_s = max(options.seconds * options.jobs // len(chosen), 1)
        with ThreadPoolExecutor(options.jobs) as jobs:
            results = list(jobs.map(lambda name: _run(name, each_s, found), chosen))
    sys.exit(0 if all(results) else 1)


_Formatter = argparse.RawDescriptionHelpFormatter

if __name__ == "__main__":
    main()
