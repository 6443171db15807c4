"""The page on health checks is true: its check runs, and says what it demotes by."""

import asyncio
import re
import tomllib

from pycarp import State
from pycarp.health import Answer, Probe, Request, check_of, probe_of
from pycarp.health.kinds import OWN, Kind
from pycarp.testing import Cluster
from tests.support.pages import DOCS, block, names_of
from tests.support.virtual import in_virtual_time

PAGE = DOCS / "howto" / "health-checks.md"


def test_the_tables_of_the_page_are_checks() -> None:
    web, database = (check_of(table) for table in tomllib.loads(block(PAGE, "the tables"))["check"])

    assert (web.name, web.every_s, web.timeout_s) == ("web", 0.25, 1)
    assert (database.name, database.by, database.unknown) == ("database", 50, Answer.OK)


def test_the_page_lists_every_kind_with_its_settings() -> None:
    rows = dict(re.findall(r"^\| `(\w+) = [^|]*\|[^|]*\|([^|]*)\|$", PAGE.read_text(), re.MULTILINE))

    listed = {kind: set(re.findall(r"`([a-z_]+)`", row)) - {"true"} for kind, row in rows.items()}
    assert listed == {name: set(kind.settings) for name, kind in OWN.items()}


def test_the_page_names_the_kinds_that_fail_at_their_timeout_and_the_functions_of_all() -> None:
    page = PAGE.read_text()
    named = re.search(r"^(.*) fail if there is no answer within `timeout`", page, re.MULTILINE)
    ready = re.search(r"^(.*) are ready\.$", page, re.MULTILINE)
    assert named is not None
    assert ready is not None

    def probe(name: str, kind: Kind) -> Probe:
        schemas = {name: kind.value.schema, **{each: kind.settings[each].schema for each in kind.required}}
        return probe_of({key: schema["examples"][0] for key, schema in schemas.items()})

    requests = {name for name, kind in OWN.items() if isinstance(probe(name, kind), Request)}
    assert set(re.findall(r"`(\w+)`", named[1])) == requests
    functions = {{"exec": "program", "file": "file_exists"}.get(name, name) for name in OWN}
    assert set(re.findall(r"`(\w+)\(", ready[1])) == functions


@in_virtual_time
async def test_the_check_of_the_page_moves_the_address() -> None:
    # Nobody listens on port 80 of a virtual machine; a real connection would take real time.
    names = names_of(block(PAGE, "the check").replace('tcp("127.0.0.1", 80)', "web_answers"))
    answers = [True]

    async def web_answers() -> bool:
        return answers[0]

    names["web_answers"] = web_answers
    async with Cluster(2) as cluster:
        task = asyncio.create_task(names["serve"](cluster.a.host))
        await cluster.settle()
        assert cluster.master is cluster.a

        answers[0] = False
        async with asyncio.timeout(0.25 * 3 + 0.02):
            await cluster.b.host.wait_for(State.MASTER)

        assert cluster.a.host.snapshot().demotion == (("check web", 240),)
        task.cancel()
        await asyncio.wait([task])
