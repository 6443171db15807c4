"""Runs plans by chance, as many as you like: ``python -m tests.storms --seeds 100000 --jobs 2``."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.storms.checker import judge
from tests.storms.plan import Plan, draw
from tests.storms.run import record
from tests.storms.script import script_of
from tests.storms.shrinking import shrink

AT_A_TIME = 50
REGRESSIONS = Path(__file__).parent / "regressions"


def run_some(first: int, last: int, *, benign_only: bool) -> list[tuple[int, str]]:
    """Return the seeds from ``first`` to before ``last`` that broke a promise, and which one first."""
    broken = []
    for seed in range(first, last):
        violations = judge(record(draw(seed, benign_only=benign_only)))
        if violations:
            broken.append((seed, violations[0].label))
    return broken


def shrunk(seed: int, label: str, *, benign_only: bool) -> Plan:
    """Return the smallest plan of a seed."""
    return shrink(draw(seed, benign_only=benign_only), label)


def tell(seed: int, label: str, plan: Plan, keep: Path) -> None:
    """Print a shrunk plan, as JSON and as a script, and keep it as a regression case."""
    keep.mkdir(parents=True, exist_ok=True)
    file = keep / f"{seed}.json"
    file.write_text(plan.to_json())
    print(f"\n== seed {seed}: {label}\n   {file}")
    words = {each.label: each.words for each in reversed(judge(record(plan)))}
    print(
        *(f"{each}: {words[each]}" for each in reversed(words)), plan.to_json(), script_of(plan), sep="\n", flush=True
    )


def main() -> int:
    """Run the plans, shrink one of each kind of failure, and return 1 if there was any."""
    parser = argparse.ArgumentParser(prog="python -m tests.storms", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many plans (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, help="processes (one a CPU)")
    parser.add_argument(
        "--benign", action="store_true", help="without faults: people, programs and slow actuators only"
    )
    parser.add_argument("--shrink", type=int, default=3, help="of how many kinds of failure a plan is shrunk (3)")
    parser.add_argument(
        "--keep", type=Path, default=Path("storms-failed"), help="where shrunk plans go (storms-failed)"
    )
    options = parser.parse_args()
    kinds: Counter[str] = Counter()
    example: dict[str, int] = {}
    failed, began_s, end = 0, time.monotonic(), options.first + options.seeds
    firsts = range(options.first, end, AT_A_TIME)
    with ProcessPoolExecutor(options.jobs) as pool:
        chunks = [pool.submit(run_some, at, min(at + AT_A_TIME, end), benign_only=options.benign) for at in firsts]
        for first, chunk in zip(firsts, chunks, strict=True):
            for seed, label in chunk.result():
                failed += 1
                kinds[label] += 1
                example.setdefault(label, seed)
            done = min(first + AT_A_TIME, end) - options.first
            rate = done / (time.monotonic() - began_s)
            print(f"\r{done}/{options.seeds}, {rate:.1f} runs/s, {failed} failed", end="", file=sys.stderr, flush=True)
    took_s = time.monotonic() - began_s
    print(f"\n{options.seeds} runs in {took_s:.0f} s, {options.seeds / took_s:.1f} a second; {failed} failed")
    for label, count in kinds.most_common():
        print(f"{count:6} {100 * count / options.seeds:6.2f} %  {label} (seed {example[label]})")
    worst = [label for label, _count in kinds.most_common(options.shrink)]
    with ProcessPoolExecutor(options.jobs) as pool:
        plans = [pool.submit(shrunk, example[label], label, benign_only=options.benign) for label in worst]
        for label, plan in zip(worst, plans, strict=True):
            tell(example[label], label, plan.result(), options.keep)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
