"""Checks are built from tables: every kind, every default, and all that is wrong at once."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from pycarp import ConfigError
from pycarp.errors import SettingProblem, SettingProblems
from pycarp.health import Answer, Check, Finding, Probe, check_of, check_schema, look, probe_of
from pycarp.health.kinds import OWN
from pycarp.health.table import SETTINGS

NOT_A_FLAG = 'verify: verify "no" is neither true nor false; write one of them, without quotes'
WEB = {"name": "web", "tcp": "127.0.0.1:80"}


def problems_of(table: dict[str, Any], **settings: Any) -> list[str]:
    with pytest.raises(SettingProblems) as caught:
        check_of(table, **settings)
    return [f"{each.setting or '-'}: {each}" for each in caught.value.problems]


async def finding_of(probe: Probe) -> Finding:
    return await look(Check(name="web", probe=probe, timeout_s=30))


def test_a_table_becomes_a_check() -> None:
    check = check_of({**WEB, "every": "250ms", "timeout": 1, "rise": 1, "fall": 2, "by": 50, "unknown": "ok"})

    assert (check.name, check.every_s, check.timeout_s, check.rise, check.fall) == ("web", 0.25, 1, 1, 2)
    assert (check.by, check.unknown) == (50, Answer.OK)


def test_what_a_table_leaves_out_has_the_defaults_of_a_check() -> None:
    check = check_of(WEB)

    assert check == Check(name="web", probe=check.probe)


def test_a_callers_own_keys_are_left_to_it() -> None:
    assert check_of({**WEB, "hosts": 7}, others=["hosts"]).name == "web"


async def test_tcp_is_an_address_with_a_port() -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]

        assert (await finding_of(probe_of({"tcp": f"127.0.0.1:{port}"}))).answer is Answer.OK


@pytest.mark.parametrize(
    ("settings", "answer"),
    [
        ({}, Answer.OK),
        ({"status": 200}, Answer.FAIL),
        ({"status": [200, 202]}, Answer.OK),
        ({"status": "200-299"}, Answer.OK),
        ({"status": [200, "201 - 203"]}, Answer.OK),
        ({"body": "well"}, Answer.OK),
        ({"body": "ill"}, Answer.FAIL),
        ({"host": "www.example.org"}, Answer.OK),
    ],
)
async def test_http_takes_statuses_a_text_and_the_name_of_a_site(settings: dict[str, Any], answer: Answer) -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.0 202 Well\r\n\r\nall is well")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        finding = await finding_of(probe_of({"http": f"http://127.0.0.1:{port}/", **settings}))

    assert finding.answer is answer
    assert b"Host: %s" % settings.get("host", f"127.0.0.1:{port}").encode() in asked[0]


async def test_exec_is_a_list_of_texts(tmp_path: Path) -> None:
    mark = tmp_path / "mark"

    assert (await finding_of(probe_of({"exec": ["/usr/bin/touch", str(mark)]}))).answer is Answer.OK
    assert mark.exists()


async def test_file_is_a_path(tmp_path: Path) -> None:
    assert (await finding_of(probe_of({"file": str(tmp_path)}))).answer is Answer.OK


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"tcp": "127.0.0.1"}, 'tcp: tcp "127.0.0.1" is no address with a port; write "127.0.0.1:80" or "[::1]:80"'),
        ({"tcp": "::1:80"}, 'tcp: tcp "::1:80" is no address with a port; write "127.0.0.1:80" or "[::1]:80"'),
        ({"tcp": 80}, 'tcp: tcp 80 is no address with a port; write "127.0.0.1:80" or "[::1]:80"'),
        ({"tcp": "a:70000"}, 'tcp: tcp "a:70000": port 70000 is outside 1-65535'),
        ({"tcp": "a:" + "9" * 5000}, f'tcp: tcp "a:{"9" * 5000}": port {"9" * 5000} is outside 1-65535'),
        (
            {"http": "web:80"},
            "http: http 'web:80' is no http:// or https:// address such as http://127.0.0.1:8080/health",
        ),
        (
            {"http": "http://a", "status": [200, 99]},
            'status: status 99 is no status from 100 to 599; write 200, "200-399" or [200, 204]',
        ),
        (
            {"http": "http://a", "verify": "no"},
            'verify: verify "no" is neither true nor false; write one of them, without quotes',
        ),
        (
            {"http": "https://a", "ca_file": "/none"},
            'ca_file: ca_file "/none" has no certificates that can be used: No such file or directory',
        ),
        (
            {"http": "http://a/", "verify": False},
            "http: verify is about the certificate of an https address, and this is one of http",
        ),
        (
            {"exec": "/bin/check"},
            'exec: program "/bin/check" is one text, and no shell splits it; write ["/usr/bin/pg_isready", "--quiet"]',
        ),
        ({"file": "ready"}, 'file: file "ready" is no path from the root; write one such as "/run/service/ready"'),
        ({**WEB, "every": "40ms"}, "every: every 40ms is below 50ms"),
        (
            {**WEB, "every": "2x"},
            'every: every "2x" is no duration; write "500ms", "2s", "5min", "2h" or a number of seconds',
        ),
        ({**WEB, "timeout": 0}, "timeout: timeout 0s is below 1ms"),
        ({**WEB, "rise": True}, "rise: rise true is not a whole number from 1 to 1000"),
        ({**WEB, "by": 0}, "by: by 0 is not a whole number from 1 to 2147483647"),
        ({**WEB, "unknown": "pass"}, 'unknown: unknown "pass" is none of "ok", "fail", "unknown"'),
        ({**WEB, "name": "a\nb"}, 'name: name "a\nb" is no text of one line; write one such as "web"'),
        ({**WEB, "evry": 1}, "evry: unknown key evry (did you mean every?)"),
        ({**WEB, "status": 200}, "status: tcp has no status (it belongs to http)"),
        ({**WEB, "http": "http://a"}, "http: tcp and http are in one check (write a check for each)"),
        ({"name": "web"}, f"-: nothing is checked (add one of {', '.join(OWN)})"),
        ({"htpp": "http://a"}, "htpp: unknown key htpp (did you mean http?)"),
        ({"nmae": "web", "tcp": "a:1"}, "nmae: unknown key nmae (did you mean name?)"),
        ({"tcp": "a:1"}, '-: name is missing (add one such as name = "web")'),
    ],
)
def test_a_problem_names_the_value_the_bound_and_the_way_out(table: dict[str, Any], problem: str) -> None:
    has_no_name = problem.startswith(("-: name", "nmae"))

    assert problems_of(table if has_no_name else {"name": "web", **table}) == [problem]


def test_all_problems_are_found_at_once_in_the_order_of_the_table() -> None:
    table = {"every": 0, "http": "web", "colour": 1, "status": 1, "rise": 0}

    found = problems_of(table, others=["hosts"])

    assert [each.split(":")[0] for each in found] == ["-", "every", "http", "colour", "status", "rise"]


def test_a_problem_with_the_value_does_not_hide_one_with_the_type_of_another() -> None:
    with pytest.raises(ConfigError, match=r"no http\S+ or .*\n.*no status"):
        probe_of({"http": 7, "status": 7})


def test_a_probe_has_no_settings_of_a_check() -> None:
    with pytest.raises(SettingProblems) as caught:
        probe_of({"tcp": "a:1", "rise": 2})

    assert caught.value.problems == (SettingProblem("rise", "unknown key rise", "there are: tcp"),)


def test_the_schema_has_every_key_of_every_kind() -> None:
    schema = check_schema()

    keys = {*SETTINGS, *OWN, *(key for kind in OWN.values() for key in kind.settings)}
    assert set(schema["properties"]) == keys
    assert schema["dependentRequired"] == {"dns": ["server"]}
    json.dumps(schema)


def test_what_the_schema_gives_as_examples_is_accepted() -> None:
    for name, kind in OWN.items():
        for each in kind.value.schema.get("examples", ()):
            needed = {key: kind.settings[key].schema["examples"][0] for key in kind.required}
            probe_of({name: each, **needed})


def test_no_two_kinds_have_a_setting_of_one_name() -> None:
    keys = [*SETTINGS, *OWN, *(key for kind in OWN.values() for key in kind.settings)]

    assert len(keys) == len(set(keys)), "the schema has one place for each"


# Kinds that other distributions register

PLUGIN = """\
[pycarp.probes]
replica = tests.health.test_table:replica
tcp = missing_module:probe
broken = missing_module:probe
odd = tests.health.test_table:WEB
"""


def replica(name: str, *, lag_s: float, of: str = "") -> Probe:
    if lag_s < 0:
        raise ConfigError(f"lag_s {lag_s} is below 0")

    async def probe() -> Finding:
        return Finding(Answer.OK, f"{name}{of} lags {lag_s} s")

    return probe if name != "none" else None  # type: ignore[return-value]  # as others may


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution, as pip would, in a folder on the path."""
    folder = tmp_path / "plugin-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("plugin")
async def test_a_registered_kind_is_built_with_its_settings() -> None:
    check = check_of({"name": "db", "replica": "db1", "lag_s": 3})

    assert await look(check) == Finding(Answer.OK, "db1 lags 3 s")


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"replica": "a"}, "replica: lag_s is missing; replica needs it"),
        ({"replica": "a", "lag": 3}, "lag: unknown key lag (did you mean lag_s?)"),
        ({"replica": "a", "lag_s": -1}, "replica: lag_s -1 is below 0"),
        ({"replica": "a", "lag_s": "x"}, "replica: replica cannot be built: TypeError: '<' not supported between"),
        ({"replica": "none", "lag_s": 1}, "replica: replica returned None, which is no coroutine function"),
        ({"broken": 1}, "broken: probe 'broken' of plugin cannot be loaded: ModuleNotFoundError"),
        ({"odd": 1}, "odd: probe 'odd' is registered as {'name': 'web'"),
        ({"replca": 1}, "replca: unknown key replca (did you mean replica?)"),
    ],
)
def test_what_is_wrong_with_a_registered_kind_is_found(table: dict[str, Any], problem: str) -> None:
    (found,) = problems_of({"name": "db", **table})

    assert found.startswith(problem)


@pytest.mark.usefixtures("plugin")
def test_a_kind_of_pycarps_own_cannot_be_replaced() -> None:
    assert check_of(WEB).name == "web"
