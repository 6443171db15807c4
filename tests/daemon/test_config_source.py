"""What a configuration is read beside: the devices of this machine, without those of CARP itself."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pycarp.daemon.config_source import ConfigSource
from pycarp.errors import ConfigError
from tests.support.namespaces import LINK, Namespace, entered, joined_namespaces
from tests.support.system import require

pytestmark = pytest.mark.system

TOML = '[[host]]\ninterface = "{link}"\nvhid = 1\npassword = "s"\naddresses = ["192.0.2.50/24"]\n'


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    require("ip")
    with joined_namespaces() as (left, _right):
        yield left


def read(namespace: Namespace, file: Path, text: str) -> list[str]:
    """Return the interfaces of the hosts in a file."""
    file.write_text(text)
    with entered(namespace):
        return [host.interface for host in ConfigSource(file=file).read().hosts]


def test_a_device_that_carries_shared_addresses_is_no_interface_to_share_them_on(
    namespace: Namespace, tmp_path: Path
) -> None:
    """It is there when a daemon reloads, and after a crash."""
    namespace.ip("link", "add", "carp0", "link", LINK, "address", "00:00:5e:00:01:01", "type", "macvlan")
    namespace.ip("addr", "add", "203.0.113.1/24", "dev", "carp0")

    with pytest.raises(ConfigError, match=r"203\.0\.113\.50 is in the subnet of no interface"):
        read(
            namespace,
            tmp_path / "rc.conf",
            'cloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass s 203.0.113.50/24"\n',
        )


def test_an_interface_that_does_not_exist_is_believed(namespace: Namespace, tmp_path: Path) -> None:
    text = TOML.format(link="late0") + TOML.format(link=LINK).replace("192.0.2.50", "192.0.2.51")

    assert read(namespace, tmp_path / "pycarp.toml", text) == ["late0", LINK]


def test_an_interface_that_is_called_otherwise_here_is_found_by_its_subnet(
    namespace: Namespace, tmp_path: Path
) -> None:
    text = (
        'ifconfig_fxp0="inet 10.77.0.9/24"\ncloned_interfaces="carp0"\nifconfig_carp0="vhid 1 pass s 10.77.0.50/24"\n'
    )

    assert read(namespace, tmp_path / "rc.conf", text) == [LINK]


def test_a_missing_interface_hides_no_other_problem_and_is_none(namespace: Namespace, tmp_path: Path) -> None:
    text = TOML.format(link="late0") + TOML.format(link=LINK).replace("vhid = 1", "vhid = 999")

    with pytest.raises(ConfigError) as caught:
        read(namespace, tmp_path / "pycarp.toml", text)

    assert "999" in str(caught.value)
    assert "late0" not in str(caught.value)
