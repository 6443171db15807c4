"""Settings that are changed in a file, and everything else that stays."""

import re
from pathlib import Path

import pytest

from pycarp.config import toml
from pycarp.config.toml_edit import Edits, HostEdit, edit
from pycarp.errors import ConfigError

TEXT = """\
# the machine
[node]
hostname = "a"  # me

# the web
[[host]]
interface = "eth0"
vhid = 1
password = "testpass"  # old
addresses = [
    "192.168.1.50/24",  # www
    "192.168.1.51/24",
]

# the mail
[[host]]
interface = "eth0"
vhid = 2
advskew = 100
password = "testpass"
addresses = ["192.168.1.60/24"]
# the end
"""


def edited(text: str = TEXT, *, sysctls: dict[str, int] | None = None, vhid: int = 1, **values: object) -> Edits:
    host = HostEdit(name=f"carp{vhid}", interfaces=["em0", "eth0"], vhid=vhid, **values)  # type: ignore[arg-type]
    return edit(text, "/etc/pycarp.toml", [host], sysctls or {})


def test_what_is_there_is_changed_in_its_place() -> None:
    expected = TEXT.replace("advskew = 100", "advskew = 50")

    assert edited(vhid=2, advskew=50).text == expected


def test_what_is_not_there_comes_at_the_end_of_its_table_before_the_comment_of_the_next() -> None:
    assert edited(advbase=2, advskew=7).text == TEXT.replace(
        "]\n\n# the mail", "]\nadvbase = 2\nadvskew = 7\n\n# the mail"
    )


def test_a_password_keeps_the_comment_beside_it() -> None:
    assert edited(password='a"b').text == TEXT.replace('"testpass"  # old', '"a\\"b"  # old')


def test_addresses_come_and_go_and_the_others_keep_their_comments() -> None:
    text = edited(addresses=["192.168.1.50/24", "192.168.1.52/24"]).text

    assert '    "192.168.1.50/24",  # www\n    "192.168.1.52/24"' in text
    assert "192.168.1.51" not in text


def test_addresses_in_another_order_are_written_anew() -> None:
    text = edited(addresses=["192.168.1.51/24", "192.168.1.50/24"]).text

    assert [str(each) for each in toml.read(text, file="f").hosts[0].addresses] == [
        "192.168.1.51/24",
        "192.168.1.50/24",
    ]


def test_switches_are_written_below_the_node() -> None:
    text = edited(advskew=100, vhid=2, sysctls={"preempt": 1}).text

    assert text == TEXT.replace("# me\n", "# me\n\n[node.sysctls]\npreempt = 1\n\n")


def test_a_file_without_a_node_gets_one() -> None:
    text = edited(TEXT.partition("# the web")[2], advskew=0, sysctls={"preempt": 1}).text

    assert text.endswith("\n[node.sysctls]\npreempt = 1\n")


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    text = edited("\ufeff" + TEXT.replace("\n", "\r\n"), advskew=50, vhid=2).text

    assert text == "\ufeff" + TEXT.replace("\n", "\r\n").replace("advskew = 100", "advskew = 50")


def test_inline_tables_are_changed_as_well() -> None:
    text = 'host = [{ interface = "eth0", vhid = 1, password = "x", addresses = ["192.168.1.50/24"] }]\n'

    assert edited(text, advskew=7).text == text.replace("] }", "], advskew = 7 }")


def test_a_password_of_a_file_goes_into_that_file(tmp_path: Path) -> None:
    (tmp_path / "web").write_text("testpass\n")
    text = TEXT.replace('password = "testpass"  # old', 'password_file = "web"')

    found = edit(text, str(tmp_path / "f.toml"), [HostEdit(name="w", interfaces=["eth0"], vhid=1, password="new")], {})

    assert (found.text, found.passwords) == (text, {tmp_path / "web": "new"})


def test_a_password_of_a_file_that_others_share_is_refused(tmp_path: Path) -> None:
    (tmp_path / "all").write_text("testpass\n")
    text = re.sub(r'password = "testpass".*', 'password_file = "all"', TEXT)

    with pytest.raises(ConfigError, match="holds the password of other hosts as well"):
        edit(text, str(tmp_path / "f.toml"), [HostEdit(name="w", interfaces=["eth0"], vhid=1, password="new")], {})


def test_a_host_that_is_not_in_the_file_is_refused_by_its_name() -> None:
    with pytest.raises(ConfigError, match=r"pycarp\.toml has no host with vhid 9 on em0; carp9 cannot be saved"):
        edited(vhid=9, advskew=1)


def test_a_file_that_is_wrong_is_refused_with_its_place() -> None:
    with pytest.raises(ConfigError, match=r"/etc/pycarp\.toml:8"):
        edited(TEXT.replace("vhid = 1", "vhid = 999"), advskew=1)
