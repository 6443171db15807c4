"""The published schema of what ``status`` and ``why`` print with ``--json``."""

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pycarp.cli.past_why import PastWhy
from pycarp.daemon.control_messages import StatusReply, WhyReply
from tests.support.control import host_of, status_of

SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "status.schema.json"


def schema() -> dict[str, object]:
    """Return the schema of every object that the two commands print, told apart by ``type``."""
    title = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "pycarp status --json and why --json"}
    # What a docstring is indented by depends on the versions of Python and msgspec.
    cleaned: dict[str, object] = _cleaned(msgspec.json.schema(StatusReply | WhyReply | PastWhy))
    return title | cleaned


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: inspect.cleandoc(each) if key == "description" and isinstance(each, str) else _cleaned(each)
            for key, each in value.items()
        }
    return [_cleaned(each) for each in value] if isinstance(value, list) else value


def test_the_published_schema_is_that_of_the_replies(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-transcripts"):
        SCHEMA.write_text(json.dumps(schema(), indent=2) + "\n")

    assert json.loads(SCHEMA.read_text()) == schema(), "renew it: pytest tests/cli --update-transcripts"


def test_what_is_printed_reads_back_as_what_the_schema_describes() -> None:
    printed = msgspec.json.encode(status_of(host_of()))

    assert msgspec.json.decode(printed, type=StatusReply | WhyReply | PastWhy) == status_of(host_of())
