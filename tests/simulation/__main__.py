"""Simulates plans by chance, as many as you like: ``python -m tests.simulation --seeds 10000``."""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from pycarp.sim.faults import fault_plan_file
from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S

AT_A_TIME = 100


class Tally(Counter[str]):
    """How many plans broke each promise."""


def chapter(first: int, last: int) -> tuple[int, int, list[tuple[int, str]]]:
    """Return virtual nanoseconds, engine inputs, and the seeds that broke a promise, of some seeds."""
    span_ns, steps, broken = 0, 0, []
    for seed in range(first, last):
        plan = random_plan(seed)
        outcome = simulate(plan)
        span_ns, steps = span_ns + plan.until_ns, steps + outcome.steps
        broken += [(seed, promise) for promise in {violation.promise.name for violation in outcome.violations}]
    return span_ns, steps, broken


def main() -> int:
    """Simulate, tell every broken promise, and keep the plans in a folder."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many plans (1000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--jobs", type=int, help="processes (one a CPU)")
    parser.add_argument("--keep", type=Path, help="a folder for plans that broke a promise")
    options = parser.parse_args()
    firsts = range(options.first, options.first + options.seeds, AT_A_TIME)
    lasts = [min(first + AT_A_TIME, options.first + options.seeds) for first in firsts]
    began_s, span_ns, steps, tally = time.monotonic(), 0, 0, Tally()
    with ProcessPoolExecutor(options.jobs) as pool:
        for last, (more_ns, more_steps, broken) in zip(lasts, pool.map(chapter, firsts, lasts), strict=True):
            span_ns, steps = span_ns + more_ns, steps + more_steps
            for seed, promise in broken:
                tally[promise] += 1
                print(f"seed {seed}: {promise}", flush=True)
                if options.keep:
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / f"{seed}.json").write_bytes(
                        fault_plan_file.encode(random_plan(seed), description=promise)
                    )
            print(f"\r{last - options.first}/{options.seeds}", end="", file=sys.stderr, flush=True)
    took_s = time.monotonic() - began_s
    print(
        f"\n{options.seeds} plans, {span_ns / NS_PER_S / 3600:.1f} virtual hours in {took_s:.0f} s, "
        f"{steps} engine inputs; broken: {dict(tally) or 'none'}"
    )
    return 1 if tally else 0


if __name__ == "__main__":
    sys.exit(main())
