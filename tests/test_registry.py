"""Names that other distributions register: transports, actuators, monitors and dialects."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pycarp
from pycarp import actuators, dialects, monitors, transports
from pycarp.config import toml
from pycarp.dialects import FREEBSD

HOME = replace(FREEBSD, name="home")
NOT_A_DIALECT = object()

PLUGIN = """\
[pycarp.transports]
bus = pycarp.transports:MemoryTransport
twice = a:b
[pycarp.actuators]
cloud = pycarp.actuators:NullActuator
broken = missing_module:Actuator
auto = missing_module:Actuator
[pycarp.monitors]
fixed = tests.test_registry:no_links
[pycarp.dialects]
home = tests.test_registry:HOME
wrong = tests.test_registry:NOT_A_DIALECT
"""
OTHER = "[pycarp.transports]\ntwice = c:d\n"
HOST = '[[host]]\ninterface = "eth0"\nvhid = 1\npassword = "x"\naddresses = ["192.0.2.10/24"]\n'


def no_links() -> monitors.StaticMonitor:
    return monitors.StaticMonitor([])


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install two distributions, as pip would, in a folder on the path."""
    for name, text in (("plugin", PLUGIN), ("other", OTHER)):
        folder = tmp_path / f"{name}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_registered_actuator_is_made_by_its_name() -> None:
    assert isinstance(actuators.by_name("cloud"), actuators.NullActuator)


def test_a_registered_monitor_is_made_by_its_name() -> None:
    assert isinstance(monitors.by_name("fixed"), monitors.StaticMonitor)


def test_a_registered_dialect_is_found_by_its_name() -> None:
    assert dialects.by_name("home") is HOME


def test_a_registered_transport_is_known_and_listed() -> None:
    assert transports.choose("bus") == "bus"
    assert "bus" in [each.name for each in transports.available()]


def test_a_node_takes_registered_names() -> None:
    pycarp.Node(transport="udp", actuator="cloud", monitor="fixed")


def test_a_configuration_file_may_use_registered_names() -> None:
    text = f'[node]\ntransport = "bus"\nactuator = "cloud"\nmonitor = "fixed"\n{HOST}dialect = "home"\n'

    config = toml.read(text, file="a.toml")

    assert (config.transport, config.actuator, config.monitor) == ("bus", "cloud", "fixed")
    assert config.hosts[0].dialect is HOME


@pytest.mark.parametrize("kind", [transports, actuators, monitors])
def test_an_unknown_name_lists_own_and_registered_ones(kind: object) -> None:
    with pytest.raises(pycarp.ConfigError, match=r"unknown \w+ 'smoke'; known are: auto, .*(bus|cloud|fixed)"):
        kind.by_name("smoke")  # type: ignore[attr-defined]


def test_a_name_of_pycarps_own_cannot_be_replaced() -> None:
    assert type(actuators.by_name("null")) is actuators.NullActuator
    assert type(actuators.by_name("auto")).__name__ == "NetlinkActuator"


def test_a_plugin_that_cannot_be_imported_is_named_with_its_distribution() -> None:
    with pytest.raises(pycarp.ConfigError, match="actuator 'broken' of plugin cannot be loaded: ModuleNotFoundError"):
        actuators.by_name("broken")


def test_a_name_of_two_distributions_is_refused() -> None:
    with pytest.raises(pycarp.ConfigError, match="registered by other and plugin; uninstall one of them"):
        transports.by_name("twice")


def test_a_dialect_that_is_none_is_refused() -> None:
    with pytest.raises(pycarp.ConfigError, match="which is no Dialect of that name"):
        dialects.by_name("wrong")


def test_run_takes_the_name_of_a_registered_transport(installed: Path) -> None:
    argv = [sys.executable, "-m", "pycarp", "run", "--transport", "smoke", "/dev/null"]
    environment = {"PYTHONPATH": f"{installed}:{':'.join(sys.path)}"}

    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=environment)

    assert done.returncode == 2
    assert "'smoke' is not one of auto, packet, packet-real-mac, raw, udp, bus, twice" in done.stderr
