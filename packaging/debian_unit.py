"""Print the systemd unit of the Debian package: what pycarp service install writes, for /usr/bin/pycarp."""

import argparse
from pathlib import Path

from pycarp.daemon.service_unit import MARK, ServiceUnit

CONFIGURATION = "/etc/pycarp/carp.toml"
CONTROL = "/run/pycarp/pycarp.sock"


def main() -> None:
    """Print it for a version of systemd."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systemd", type=int, required=True, help="the version of systemd that will run it")
    said = parser.parse_args()
    unit = ServiceUnit(
        command=("/usr/bin/pycarp",),
        arguments=(CONFIGURATION, "--control", CONTROL),
        control=("--control", CONTROL),
        needed=(Path(CONFIGURATION),),
        systemd=said.systemd,
    )
    text = unit.text().removeprefix(MARK).lstrip()
    start = "[Unit]\n"
    documented = f"{start}Documentation=man:pycarp(1)\nConditionPathExists={CONFIGURATION}\n"
    print(text[text.index(start) :].replace(start, documented, 1), end="")


if __name__ == "__main__":
    main()
