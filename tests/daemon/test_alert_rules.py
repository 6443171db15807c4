"""The alert rules of the documentation ask for metrics, labels, and names of alarms that the daemon has."""

import asyncio
import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from pycarp.core.events import StateChange
from pycarp.core.state import Reason, State
from pycarp.daemon import alarms
from pycarp.daemon.control_messages import Alarm, CheckStatus, HookStatus, LinkStatus
from pycarp.daemon.metrics import text_of
from pycarp.daemon.tallies import Tallies
from pycarp.vocabulary import HostKey
from tests.support.control import counters_of, drops_of, host_of, peer_of, status_of

ROOT = Path(__file__).parents[2]
RULES = (ROOT / "docs" / "examples" / "pycarp.rules.yml").read_text()
SELECTOR = re.compile(r"(pycarp_\w+)(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')


def labels_of_metrics() -> dict[str, set[str]]:
    """Return the labels of each sample of a daemon that has one of everything."""
    host = host_of(
        checks=[CheckStatus(name="nginx", passes=True, answer="ok", detail="", by=None, s_ago=None)],
        hooks=[HookStatus(name="mail", on=["master"], is_running=False, last_on=None, error="")],
        alarms=[Alarm(name="unheard", text="", command="")],
        heard=[peer_of("192.168.1.4")],
    )
    links = {"fxp0": LinkStatus(counters_of(0), drops_of(1))}
    tallies = Tallies()
    key = HostKey("fxp0", 1)
    tallies.take(StateChange(key=key, at_ns=1, old=State.BACKUP, new=State.MASTER, reason=Reason.READY, epoch=1))
    families = text_string_to_metric_families(
        asyncio.run(text_of(status_of(host, links=links), tallies, version="1")).decode()
    )
    return {sample.name: set(sample.labels) for family in families for sample in family.samples}


def expressions() -> list[str]:
    return re.findall(r"^ +expr: (.+)$", RULES, re.MULTILINE)


def test_each_rule_asks_for_metrics_and_labels_that_the_daemon_has() -> None:
    known = labels_of_metrics()
    asked = [found for text in expressions() for found in SELECTOR.findall(text)]

    assert len(asked) == RULES.count("- alert:") - 1  # The first asks for Prometheus's own ``up``.
    for name, selector in asked:
        assert {label for label, _value in MATCHER.findall(selector)} <= known[name], name


def test_each_alarm_and_state_in_a_rule_is_one_of_the_daemon() -> None:
    source = Path(alarms.__file__).read_text()
    selectors = [selector for text in expressions() for _name, selector in SELECTOR.findall(text)]
    matchers = [matcher for selector in selectors for matcher in MATCHER.findall(selector)]
    states = [value for label, value in matchers if label == "state"]
    names = [name for label, value in matchers if label == "alarm" for name in value.split("|")]

    assert states
    assert set(states) <= set(State)
    assert names
    for name in names:
        assert f'"{name}"' in source
