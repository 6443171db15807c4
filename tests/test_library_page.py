"""The reference page of the library says what is there: names, arguments, defaults, fields, members and bases."""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

import pycarp
from pycarp.actuators import Actuator
from pycarp.aio.mastership import Mastership
from pycarp.monitors.link_monitor import LinkForgetting
from pycarp.transports.transport import PARTS
from tests.support.trees import edges_of

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "library.md").read_text()
OBJECTS: dict[str, type] = {
    "node": pycarp.Node, "host": pycarp.VirtualHost, "config": pycarp.HostConfig, "mastership": Mastership,
}  # fmt: skip
EXPORTED = [getattr(pycarp, each) for each in pycarp.__all__]
CLASSES = [each for each in EXPORTED if isinstance(each, type)]
EVENTS = [each for each in CLASSES if issubclass(each, pycarp.Event) and each is not pycarp.Event]
ERRORS = [each for each in CLASSES if issubclass(each, pycarp.CarpError)]
PROTOCOLS = [pycarp.Transport, *PARTS, pycarp.Monitor, LinkForgetting]


def section(title: str) -> str:
    """Return the text below a heading, up to the next one of its level or above."""
    level = re.match(r"#+", title)
    assert level is not None
    found = re.search(rf"^{re.escape(title)}\n(.*?)(?=^#{{1,{len(level[0])}}} |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def spans(text: str) -> list[str]:
    """Return what is written as code within the sentences and tables of a text."""
    return re.findall(r"`([^`\n]+)`", text)


def first_cells(text: str) -> list[str]:
    """Return the code in the first column of the tables of a text."""
    return [span for line in text.splitlines() if line.startswith("| `") for span in spans(line.split(" | ")[0])]


def calls() -> Iterator[tuple[str, Any, ast.Call]]:
    """Yield every call that is written on the page: its text, what is called, and its syntax."""
    for span in spans(PAGE):
        code = re.sub(r"^(async with|await|@) *|(?: as \w+)$", "", span)
        # What is left out after "=" is to be filled in by the reader.
        code = re.sub(r"=(?=[,)])", "=...", code)
        try:
            expression = ast.parse(code, mode="eval").body
        except SyntaxError:
            continue
        for each in ast.walk(expression):
            if isinstance(each, ast.Call) and (function := _function(each.func)) is not None:
                yield span, function, each


def _function(called: ast.expr) -> Any:
    match called:
        case ast.Name(name) if name in pycarp.__all__:
            return getattr(pycarp, name)
        case ast.Attribute(ast.Name(owner), name) if owner in OBJECTS:
            return getattr(OBJECTS[owner], name)
        case ast.Attribute(ast.Name(owner), name) if owner in pycarp.__all__:
            return getattr(getattr(pycarp, owner), name)
    return None


CALLS = [pytest.param(function, call, id=span) for span, function, call in calls()]


def test_there_are_calls_on_the_page() -> None:
    assert len(CALLS) > 40


@pytest.mark.parametrize(("function", "call"), CALLS)
def test_every_argument_that_is_written_exists(function: Any, call: ast.Call) -> None:
    is_event = isinstance(function, type) and issubclass(function, pycarp.Event)
    parameters = inspect.signature(function).parameters

    # The fields of an event stand in its call; they are another test's.
    assert is_event or {each.arg for each in call.keywords} <= parameters.keys()


@pytest.mark.parametrize("kind", [pycarp.Node, pycarp.HostConfig, pycarp.Settings], ids=lambda each: each.__name__)
def test_the_defaults_that_are_written_are_those(kind: type) -> None:
    longest = max((call for _span, function, call in calls() if function is kind), key=lambda call: len(call.keywords))
    parameters = inspect.signature(kind).parameters
    written = {str(each.arg): ast.unparse(each.value) for each in longest.keywords}

    assert written == {name: _as_written(parameters[name].default) for name in written}


def _as_written(default: object) -> str:
    if default is inspect.Parameter.empty:
        return "..."
    if isinstance(default, pycarp.Dialect):
        return f"dialects.{default.name.upper()}"
    return repr(int(default) if isinstance(default, float) and default.is_integer() else default)


@pytest.mark.parametrize("name", sorted({*re.findall(r"\b(?:node|host|config)\.[a-z_]+", PAGE)}))
def test_every_attribute_that_is_written_exists(name: str) -> None:
    owner, _dot, attribute = name.partition(".")

    assert hasattr(OBJECTS[owner], attribute)


@pytest.mark.parametrize("owner", ["node", "host"])
def test_every_public_attribute_is_written(owner: str) -> None:
    public = {name for name in dir(OBJECTS[owner]) if not name.startswith("_")}

    assert public == set(re.findall(rf"\b{owner}\.([a-z_]+)", PAGE))


def test_every_setting_of_a_host_is_written() -> None:
    text = section("## HostConfig")
    (signature,) = [span for span in spans(text) if span.startswith("HostConfig(interface=")]
    written = {*re.findall(r"(\w+)=", signature), *first_cells(text)}

    assert written == set(inspect.signature(pycarp.HostConfig).parameters) - {"unknown"}
    assert {each.name for each in dataclasses.fields(pycarp.HostConfig) if not each.init} <= set(
        re.findall(r"\b(?:config\.)?([a-z_]+)", " ".join(spans(text)))
    )


def test_every_argument_of_a_node_is_written() -> None:
    written = {name for name in first_cells(section("## Node")) if "." not in name}

    assert written == set(inspect.signature(pycarp.Node).parameters)


def test_every_event_is_written_with_its_fields() -> None:
    common = {each.name for each in structs.fields(pycarp.Event)}
    expected = {
        f"{each.__name__}({', '.join(field.name for field in structs.fields(each) if field.name not in common)})"
        for each in EVENTS
    }

    assert set(first_cells(section("## Events"))) == expected


def test_the_tree_of_errors_is_that_of_their_classes() -> None:
    tree = re.search(r"```text\n(.*?)```", section("## Errors"), re.DOTALL)
    assert tree is not None
    expected = {(each.__bases__[0].__name__ if each is not pycarp.CarpError else "", each.__name__) for each in ERRORS}

    assert edges_of(tree[1]) == expected


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=lambda each: each.__name__)
def test_the_methods_of_a_protocol_are_written(protocol: type) -> None:
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| `{protocol.__name__}` | `")]

    assert spans(line.split(" | ")[1]) == _methods(protocol)


def test_the_methods_of_an_actuator_are_written() -> None:
    assert sorted(first_cells(section("### An actuator"))) == sorted(_methods(Actuator))


def _methods(protocol: type) -> list[str]:
    return [name for name, value in vars(protocol).items() if inspect.isfunction(value) and not name.startswith("_")]


@pytest.mark.parametrize("kind", [pycarp.State, pycarp.Restriction, pycarp.MacMode, pycarp.LossReason])
def test_the_members_of_an_enumeration_are_written(kind: type[Enum]) -> None:
    assert {each.name for each in kind} <= set(re.findall(r"\b[A-Z_]+\b", " ".join(spans(PAGE))))


def test_every_protocol_that_is_exported_for_a_backend_is_one_that_a_node_knows() -> None:
    assert {each.__name__ for each in PROTOCOLS} <= set(pycarp.__all__)
