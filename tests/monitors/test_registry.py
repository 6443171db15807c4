"""The monitor of this operating system."""

import subprocess
import sys

import pytest

from pycarp import monitors
from pycarp.monitors.netlink_monitor import NetlinkMonitor


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_on_linux_it_is_the_kernels() -> None:
    assert isinstance(monitors.by_name("auto"), NetlinkMonitor)


def test_elsewhere_it_is_a_config_error_with_the_way_out() -> None:
    program = "import sys; sys.platform = 'freebsd14'\nfrom pycarp import monitors\nmonitors.by_name('auto')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert done.stderr.splitlines()[-1] == (
        "pycarp.errors.ConfigError: the netlink monitor works on Linux only; pass another one as monitor="
    )
