"""How much faster than real time a simulation is: a day of five machines, and plans with faults.

``python benchmarks/simulation.py``; the day alone takes about half a minute.
"""

import argparse
import statistics
import time
from ipaddress import ip_interface

from pycarp import HostConfig
from pycarp.sim.faults.fault_plan import FaultPlan, Member
from pycarp.sim.faults.random_plans import random_plan
from pycarp.sim.simulation import simulate
from pycarp.vocabulary import NS_PER_S

MACHINES = 5
PLANS = 200


def a_day(hours: float) -> FaultPlan:
    """Return five machines with nothing but their advertisements to do."""
    members = tuple(
        Member(
            name=f"host{number}",
            hosts=(
                HostConfig(
                    interface="em0", vhid=1, passphrase="secret", addresses=["192.0.2.50/24"], advskew=50 * number
                ),
            ),
            own={"em0": (ip_interface(f"192.0.2.{number + 1}/24"),)},
        )
        for number in range(MACHINES)
    )
    return FaultPlan(seed=1, members=members, incidents=(), until_ns=round(hours * 3600) * NS_PER_S)


def timed(plan: FaultPlan) -> tuple[float, int]:
    """Return the real seconds that a plan takes, and the inputs of its engines."""
    began_s = time.perf_counter()
    steps = simulate(plan).steps
    return time.perf_counter() - began_s, steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0, help="virtual hours (24)")
    options = parser.parse_args()
    took_s, steps = timed(a_day(options.hours))
    print(
        f"{options.hours:g} hours of {MACHINES} machines: {took_s:.1f} s, "
        f"{options.hours * 3600 / took_s:.0f} times real time, "
        f"{steps} engine inputs, {took_s / steps * 1e6:.1f} us each"
    )
    plans = [random_plan(seed) for seed in range(PLANS)]
    began_s = time.perf_counter()
    each_s = [timed(plan)[0] for plan in plans]
    span_s = sum(plan.until_ns for plan in plans) / NS_PER_S
    print(
        f"{PLANS} plans with faults: {time.perf_counter() - began_s:.1f} s, "
        f"{span_s / sum(each_s):.0f} times real time, {statistics.median(each_s) * 1e3:.1f} ms each (median)"
    )


if __name__ == "__main__":
    main()
