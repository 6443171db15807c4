"""The Grafana dashboard of the documentation asks for metrics, labels and states that the daemon has."""

import json
import re

from pycarp.core.state import State
from tests.daemon.test_alert_rules import MATCHER, ROOT, SELECTOR, labels_of_metrics

BOARD = json.loads((ROOT / "docs" / "examples" / "pycarp.grafana.json").read_text())
TARGETS = [target for panel in BOARD["panels"] for target in panel["targets"]]
EXPRESSIONS = [target["expr"] for target in TARGETS]
OF_PROMETHEUS = {"instance", "job", "le"}


def test_each_panel_asks_for_metrics_and_labels_that_the_daemon_has() -> None:
    known = labels_of_metrics()
    asked = [found for text in EXPRESSIONS for found in SELECTOR.findall(text)]

    assert all("pycarp_" in text or text.startswith("count(up{") for text in EXPRESSIONS)
    for name, selector in asked:
        assert {label for label, _value in MATCHER.findall(selector)} <= known[name] | OF_PROMETHEUS, name


def test_each_label_in_a_grouping_or_a_legend_is_one_of_the_metrics_beside_it() -> None:
    known = labels_of_metrics()
    for target in TARGETS:
        text = target["expr"]
        names = [name for name, _selector in SELECTOR.findall(text)]
        labels = set().union(*(known[name] for name in names)) | OF_PROMETHEUS
        grouped = re.findall(r"(?:by|ignoring|on|group_left) \(([^)]*)\)", text)
        used = {each.strip() for group in grouped for each in group.split(",")}

        assert used | set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= labels, text


def test_each_variable_and_state_of_the_board_exists() -> None:
    queries = [each["query"]["query"] for each in BOARD["templating"]["list"] if each["type"] == "query"]
    known = labels_of_metrics()

    for metric, label in (re.findall(r"label_values\((\w+), (\w+)\)", each)[0] for each in queries):
        assert label in known[metric] | OF_PROMETHEUS
    variables = {each["name"] for each in BOARD["templating"]["list"]}
    assert {each for text in EXPRESSIONS for each in re.findall(r"\$(\w+)", text)} <= variables
    states = {value for text in EXPRESSIONS for label, value in MATCHER.findall(text) if label == "state"}
    assert states <= set(State)
