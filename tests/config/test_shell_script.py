"""What a script assigns and runs, and when only a running shell would know."""

import pytest

from pycarp.config.shell_script import Assignment, read


def last(text: str) -> Assignment:
    """Return the last assignment of ``x`` in a script."""
    return [each for each in read(text).assignments if each.name.text == "x"][-1]


def commands(text: str) -> list[list[str]]:
    """Return the arguments of each command."""
    return [[each.text for word in command.words for each in word.arguments()] for command in read(text).commands]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("if a; then\n x=1\nelse\n x=2\nfi", "a condition of the shell in line 1"),
        ("if a; then :; elif b; then x=1; fi", "a condition of the shell in line 1"),
        ("\ncase $h in\nfw1) x=1 ;;\n*) x=2 ;;\nesac", "a condition of the shell in line 2"),
        ("case $h in (a|b) x=1;; esac", "a condition of the shell in line 1"),
        ("a && x=1", "a condition of the shell in line 1"),
        ("a ||\n x=1", "a condition of the shell in line 1"),
        ("a && { b; x=1; }", "a condition of the shell in line 1"),
        ("for i in 1 2; do x=$i; done", "a loop of the shell in line 1"),
        ("while a; do\n x=1\ndone", "a loop of the shell in line 1"),
        ("until a\ndo x=1; done", "a loop of the shell in line 1"),
        ("f() { x=1; }", "a function of the shell in line 1"),
        ("f ()\n{\n x=1\n}", "a function of the shell in line 2"),
        ("function f {\n x=1\n}", "a function of the shell in line 1"),
        ("(x=1)", "a subshell in line 1"),
        ("if a; then if b; then c; fi; x=1; fi", "a condition of the shell in line 1"),
        ("if a; then\r\n x=1\r\nfi\r\n", "a condition of the shell in line 1"),
    ],
)
def test_a_value_in_a_branch_is_not_certain(text: str, reason: str) -> None:
    assert last(text).why_uncertain() == f"x depends on {reason}"


@pytest.mark.parametrize(
    "text",
    [
        "if a; then b; fi\nx=1",
        "if a; then x=2; fi; x=1",
        "{ x=1; }",
        "a && b; x=1",
        "a || b\nx=1",
        "case $h in\n a) b;;\nesac\nx=1",
        "for i in 1 2; do a; done; x=1",
        "f() { a; }\nx=1",
        "(a); x=1",
        "cat <<EOF\nx=2\nEOF\nx=1",
        "cat <<-'E F'\n\tx=2 'it\n\tE F\nx=1",
        "echo if; x=1",
        "y=`a b`; x=1",
        'y="$(a "b c")"; x=1',
        "a 2>&1 >/dev/null; x=1",
        "# if\nx=1 # then",
    ],
)
def test_a_value_outside_of_every_branch_is_certain(text: str) -> None:
    found = last(text)

    assert (found.value, found.is_certain) == ("1", True)


@pytest.mark.parametrize("text", ["x=$(a b)", "x=`a b`", "x=${y:-1 2}", "x=$((1 + 2))", "x=$1", "x=$?"])
def test_a_computed_value_ends_where_the_shell_ends_it(text: str) -> None:
    found = read(f"{text}\nz=1")

    assert found.assignments[0].why_uncertain() == "x is computed by the shell"
    assert [each.name.text for each in found.assignments] == ["x", "z"]


def test_a_variable_that_no_line_gives_a_value_is_named() -> None:
    assert last("x=a$y").why_uncertain() == "y has no value in this file"


@pytest.mark.parametrize("text", ["x=1 | a", "a | x=1", "a |\n x=1", "{ x=1; } | a", "b; { x=1; c; } | a"])
def test_a_value_in_a_pipeline_is_given_in_a_subshell(text: str) -> None:
    assert last(text).why_uncertain() == "x is given in a pipeline"


@pytest.mark.parametrize(
    "text",
    [
        "x=1 &",
        "x=1&\na",
        "x=1 && a &",
        "{ x=1; } &",
        "{ x=1; a; } &",
        "a; x=1 & b",
        "export x=1 &",
        "{ { x=1; }; a & } &",
    ],
)
def test_a_value_in_the_background_is_given_in_a_child(text: str) -> None:
    assert last(text).why_uncertain() == "x is given in the background, in a child of the shell"


@pytest.mark.parametrize(
    "text", ["x=1; a &", "x=1\na &", "{ x=1; a & }", "a & x=1", "a && b & x=1", "x=1\n{ a; } &", "x=1; a | b"]
)
def test_a_value_beside_a_command_in_the_background_is_certain(text: str) -> None:
    assert last(text).is_certain


@pytest.mark.parametrize("text", [': ${x:="1 2"}', ': "${x=1 2}"', "y=${x:='1 2'}", 'x=""\n: ${x:=1 2}'])
def test_a_default_that_is_assigned_is_not_certain(text: str) -> None:
    found = last(text)

    assert (found.value, found.why_uncertain()) == ("1 2", "x is given by the shell as a default, with ${x:=...}")


@pytest.mark.parametrize("text", ["x=1\n: ${x:=2}", ": ${x:=2}\nx=1", "x=1\n: ${x:-2}"])
def test_a_default_of_what_has_a_value_changes_nothing(text: str) -> None:
    found = last(text)

    assert (found.value, found.is_certain) == ("1", True)


def test_a_doubt_is_inherited() -> None:
    assert last("if a; then y=1; fi\nx=$y").why_uncertain() == "y depends on a condition of the shell in line 1"


def test_a_value_that_is_appended_to_is_not_certain() -> None:
    assert not last('x=1\nx+=" 2"').is_certain


@pytest.mark.parametrize(("text", "expected"), [("x=1\nunset x", []), ("x=1; read x", [True, False])])
def test_a_variable_can_be_taken_back(text: str, expected: list[bool]) -> None:
    assert [each.is_certain for each in read(text).assignments] == expected


def test_an_assignment_before_a_command_holds_for_that_command_alone() -> None:
    script = read("x=1 a b\n")

    assert (script.assignments, [each.value for each in script.commands[0].assigned]) == ([], ["1"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b | c", [["a", "b"], ["c"]]),
        ("a;b&c && d || e", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("a b 2>&1 >/dev/null <in >>out 3>x c", [["a", "b", "c"]]),
        ("a 2 >x", [["a", "2"]]),
        ("a &>x; b", [["a"], ["b"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("y='b c'; a $y \"$y\"", [["a", "b", "c", "b c"]]),
        ("a \\\n b", [["a", "b"]]),
        ("a ''", [["a", ""]]),
        ("a #b\nc#d", [["a"], ["c#d"]]),
    ],
)
def test_a_command_ends_where_the_shell_ends_it(text: str, expected: list[list[str]]) -> None:
    assert commands(text) == expected


def test_sourced_files_are_named_with_their_place() -> None:
    found = read("a\n. /etc/b\nif [ -r /c ]; then source /c; fi\n").sourced()

    assert [(each.text, each.line, each.column) for each in found] == [("/etc/b", 2, 1), ("/c", 3, 20)]


@pytest.mark.parametrize("operator", ["&&", "||"])
def test_an_operator_needs_no_blanks(operator: str) -> None:
    (found,) = read(f"[ -x f ]{operator}AB=1\nCD=2").assignments[:1]

    assert (found.name.text, found.why_uncertain()) == ("AB", "AB depends on a condition of the shell in line 1")
