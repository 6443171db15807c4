"""How long clients miss a service that dies under its check, beside keepalived with a track_script in the same run.

``python -m benchmarks.service_gap --runs 5`` needs root, nginx and keepalived. It kills nginx on the MASTER while a
client asks every 5 ms, under pycarp and under keepalived at once, and prints the longest gap of each as JSON.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

from tests.recipes.test_nginx import both, noticed_s


def main() -> None:
    """Measure and print one JSON object; gaps are seconds, null where the client itself was late."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="how often nginx is killed (default 5)")
    runs = []
    for number in range(parser.parse_args().runs):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)  # nginx reads it as another user
            ours_s, theirs_s = both(folder / "run")
        runs.append({"pycarp_s": ours_s, "keepalived_s": theirs_s})
        sys.stderr.write(f"run {number + 1}: pycarp {ours_s}, keepalived {theirs_s}\n")
    found = {name: _median([run[name] for run in runs]) for name in ("pycarp_s", "keepalived_s")}
    print(json.dumps({"interval_x_fall_s": noticed_s(), "median": found, "runs": runs}, indent=2))


def _median(gaps_s: list[float | None]) -> float | None:
    """Return the median of the gaps that were measured; None without any."""
    known = [each for each in gaps_s if each is not None]
    return round(median(known), 4) if known else None


if __name__ == "__main__":
    main()
