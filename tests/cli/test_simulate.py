"""``pycarp simulate``: what people read, what scripts read, and every mistake in one line."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from pycarp.cli import cli
from pycarp.cli.simulate import faults as injected_faults
from pycarp.cli.simulate.plot import plain, plot
from pycarp.cli.simulate.simulation_report import PlanReport, Report
from pycarp.cli.simulate.worker_pool import WorkerPool
from pycarp.errors import UsageError
from pycarp.sim.faults.experiments import CALM, FaultTrial, InjectedFault, RecurringFault
from pycarp.sim.faults.fault_plan import Fault, FaultPlan, Incident
from pycarp.sim.simulation import simulate as simulate_plan
from pycarp.vocabulary import NS_PER_S, HostKey
from tests.support.daemons import children
from tests.support.topologies import LINK, topology_of

THREE_HOSTS = Path(__file__).parents[1] / "scenarios" / "three-hosts"
FILES = [str(THREE_HOSTS / f"{name}.rc.conf") for name in ("hosta", "hostb", "provider")]
PAGE = Path(__file__).parents[2] / "docs" / "howto" / "simulate.md"
QUICK = ("--seeds", "3", "--hours", "0.02", "--jobs", "1")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep plans that nobody expects out of the repository."""
    monkeypatch.chdir(tmp_path)


def simulate(*words: str) -> Result:
    return CliRunner().invoke(cli, ["simulate", *words])


@pytest.fixture(scope="module")
def report() -> Report:
    """The report of the three hosts, as a script reads it."""
    result = simulate(*FILES, *QUICK, "--json", "--faults", "power,hand-over,loss=50%")
    assert result.exit_code == 0, result.output
    return msgspec.json.decode(result.stdout, type=Report)


@pytest.fixture(scope="module")
def deaf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """What is said of two machines of which one has a typing error in its password, and the plan that is kept."""
    folder = tmp_path_factory.mktemp("deaf")
    text = (THREE_HOSTS / "provider.rc.conf").read_text()
    (folder / "provider.rc.conf").write_text(text.replace("pass testpass 192.168.1.50", "pass tsetpass 192.168.1.50"))
    kept = folder / "plan.json"
    words = (FILES[0], str(folder / "provider.rc.conf"), *QUICK, "--faults", "power", "--keep", str(kept))
    return simulate(*words), kept


# What is found


def test_groups_and_failback_are_tried(tmp_path: Path) -> None:
    page = (PAGE.parent / "simulate.md").read_text()
    file = tmp_path / "router.toml"
    file.write_text(page.split("<!-- the router -->\n```toml\n")[1].split("```")[0])
    words = (str(file), "--copies", "2", *QUICK, "--faults", "one-link")
    report = msgspec.json.decode(simulate(*words, "--json").stdout, type=Report)
    printed = simulate(*words).stdout

    assert [(row.cut_vhid, row.together, row.trials) for row in report.groups] == [(1, 3, 3), (2, 3, 3)]
    assert all(row.worst_s is not None and row.worst_s < 0.05 for row in report.groups)
    (row,) = report.failbacks
    assert (row.machine, row.vhids, row.policy) == ("router", [1, 2], "startup_hold 5s, failback_delay 1min")
    assert row.expected_s is not None
    assert row.worst_s is not None
    assert row.expected_s[0] <= row.worst_s <= row.expected_s[1]
    assert [(row.fault, row.expected_s, row.taken_over) for row in report.takeovers] == [("one-link", (0, 0), 3)]
    assert "Sync groups: one link of the MASTER is cut" in printed
    assert "Failback: the preferred machine is back after 10 s without power" in printed


def test_a_machine_that_reaches_no_witness_lets_go_within_what_is_computed(tmp_path: Path) -> None:
    file = tmp_path / "web.toml"
    file.write_text((PAGE.parent / "simulate.md").read_text().split("<!-- isolation -->\n```toml\n")[1].split("```")[0])
    words = (str(file), "--copies", "2", *QUICK, "--faults", "power")
    report = msgspec.json.decode(simulate(*words, "--json").stdout, type=Report)
    cut_off, silent = report.isolations

    assert [(row.what, row.vhid, row.released, row.trials) for row in report.isolations] == [
        ("cut-off", 1, 3, 3),
        ("witnesses", 1, 3, 3),
    ]
    for row in report.isolations:
        assert row.worst_s is not None
        assert row.expected_s[0] <= row.worst_s <= row.expected_s[1]
    assert cut_off.two_owners_s == 0
    assert cut_off.ownerless_s < 3.5
    assert silent.ownerless_s > 9
    assert "Isolation: the MASTER reaches no witness" in simulate(*words).stdout


def test_the_provider_takes_over_within_its_master_down_time(report: Report) -> None:
    power = next(row for row in report.takeovers if row.fault == "power")

    assert power.expected_s == (2.390625, 3.390625)
    assert power.worst_s is not None
    assert 2.390625 <= power.worst_s <= 3.391 + 0.012
    assert power.by == {"provider": 3}
    assert power.vhids == [1, 2]


def test_machines_are_reported_as_they_were_understood(report: Report) -> None:
    assert [(each.name, each.own, len(each.hosts)) for each in report.machines] == [
        ("hosta", {"fxp0": ["192.168.1.3/24"]}, 1),
        ("hostb", {"fxp0": ["192.168.1.4/24"]}, 1),
        ("provider", {"fxp0": ["192.168.1.5/24"]}, 2),
    ]


def test_heavy_losses_make_false_takeovers(report: Report) -> None:
    (row,) = report.watched

    assert (row.condition, row.below_a_day) == ("loss 50%", None)
    assert row.false_takeovers > 0
    assert row.a_day == pytest.approx(row.false_takeovers / row.hours * 24)


def test_nothing_is_found_where_all_is_well(report: Report) -> None:
    assert report.findings == []
    assert report.promises.kept == report.promises.plans > 6


def test_the_same_command_prints_the_same() -> None:
    words = (*FILES, *QUICK, "--faults", "power")

    assert simulate(*words).stdout == simulate(*words).stdout


def test_several_processes_find_the_same() -> None:
    words = (*FILES, "--seeds", "3", "--hours", "0.02", "--faults", "power", "--json")

    assert simulate(*words, "--jobs", "2").stdout == simulate(*words, "--jobs", "1").stdout


def test_what_was_never_seen_is_bounded() -> None:
    (row,) = json.loads(simulate(*FILES, *QUICK, "--faults", "power,loss=1%", "--json").stdout)["watched"]

    assert (row["false_takeovers"], row["below_a_day"]) == (0, 3 / 0.02 * 24)


def test_people_read_tables_and_a_plot() -> None:
    told = simulate(*FILES, *QUICK, "--faults", "power").stdout

    assert re.search(r"^power +2\.391-3\.391 s +\S+ s +3\.\d+ s .* provider *$", told, re.MULTILINE)
    assert re.search(r"^calm +0\.02 +0 +< 3600 ", told, re.MULTILINE)
    assert "Promises: all kept in 12 of 12 simulated plans." in told
    assert re.search(r"^hosta +█+ +░+$", told, re.MULTILINE)
    assert max(map(len, told.splitlines())) <= 100


def test_names_of_machines_are_never_taken_for_markup(tmp_path: Path) -> None:
    text = (THREE_HOSTS / "hosta.rc.conf").read_text()
    (tmp_path / "a.conf").write_text(text.replace("hosta.example.org", "[/red]"))
    told = simulate("a.conf", "--copies", "2", *QUICK, "--faults", "power").stdout

    assert re.search(r"^\[/red\] +192\.168\.1\.3 ", told, re.MULTILINE)
    assert re.search(r" \[/red\]-2$", told, re.MULTILINE)


def test_copies_stand_in_for_machines_that_are_not_there() -> None:
    told = json.loads(simulate(FILES[0], "--copies", "3", *QUICK, "--faults", "power", "--json").stdout)

    assert [each["name"] for each in told["machines"]] == ["hosta", "hosta-2", "hosta-3"]
    assert told["takeovers"][0]["by"] == {"hosta-2": 3}


def test_switches_hold_for_all_machines() -> None:
    words = (*FILES, *QUICK, "--faults", "demotion", "--json")
    takes_over = [
        json.loads(simulate(*words, "--sysctl", f"net.inet.carp.preempt={value}").stdout)["takeovers"][0]["taken_over"]
        for value in (0, 1)
    ]

    assert takes_over == [0, 3]


def test_the_fastest_advbase_is_the_first_without_false_takeovers() -> None:
    result = simulate(*FILES, "--seeds", "1", "--hours", "0.2", "--fastest", "--faults", "power,stalls=1s", "--json")
    found = json.loads(result.stdout)["fastest"]
    names = [(each["advbase"], each["advskew_step"]) for each in found["advbases"]]
    flaps = [sum(row["false_takeovers"] for row in each["watched"]) for each in found["advbases"]]

    assert names == [(0, 10), (0, 25), (0, 60), (1, None), (2, None), (3, None), (5, None), (10, None)]
    assert flaps[0] > 0
    assert found["fastest"] == next(
        index for index, each in enumerate(found["advbases"]) if not flaps[index] and not each["broken"]
    )


# What is wrong


def test_hosts_that_cannot_hear_each_other_are_told_of_first(deaf: tuple[Result, Path]) -> None:
    result, _kept = deaf

    assert result.stdout.splitlines()[0] == (
        "WRONG vhid 1 of hosta and provider: the passwords differ; they never hear each other, and both will be MASTER"
    )
    assert "tsetpass" not in result.output


def test_a_broken_promise_ends_with_the_shortest_plan_of_it(deaf: tuple[Result, Path]) -> None:
    result, kept = deaf

    assert result.exit_code == 1
    assert "BROKEN" in result.stdout
    assert json.loads(kept.read_text()).get("incidents", []) == []
    assert "pass" not in kept.read_text()


def test_without_hypothesis_a_broken_promise_has_the_plan_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hypothesis", None)
    (tmp_path / "other.rc.conf").write_text(
        (THREE_HOSTS / "provider.rc.conf").read_text().replace("pass testpass 192.168.1.50", "pass other 192.168.1.50")
    )

    result = simulate(FILES[0], str(tmp_path / "other.rc.conf"), *QUICK, "--faults", "power", "--keep", "plan.json")

    assert result.exit_code == 1
    assert "the plan is not shortened; pip install 'pycarp[simulate]' for that" in result.output
    assert json.loads(Path("plan.json").read_text())["members"]


def test_a_kept_plan_can_be_played_again(deaf: tuple[Result, Path]) -> None:
    result = simulate("--plan", str(deaf[1]), "--json")
    found = msgspec.json.decode(result.stdout, type=PlanReport)

    assert result.exit_code == 1
    assert found.violations[0].machine == "provider"
    assert any("BROKEN" in line for line in found.lines)
    assert any(line.startswith("hosta") for line in found.plot)


def test_people_see_a_kept_plan_as_lines_and_a_plot(deaf: tuple[Result, Path]) -> None:
    told = simulate("--plan", str(deaf[1])).stdout

    assert "3.000 hosta BACKUP -> MASTER master timed out" in told
    assert "BROKEN" in told.splitlines()[-1]


def test_a_kept_plan_is_drawn_where_that_is_wanted(deaf: tuple[Result, Path], tmp_path: Path) -> None:
    picture = tmp_path / "plan.svg"
    without, drawn = simulate("--plan", str(deaf[1])), simulate("--plan", str(deaf[1]), "--svg", str(picture))

    assert (without.exit_code, without.stderr) == (drawn.exit_code, drawn.stderr)
    assert "Traceback" not in without.output
    assert without.exception is None or isinstance(without.exception, SystemExit)
    assert picture.read_text().startswith("<svg")


def test_a_plan_that_cannot_be_kept_is_still_told(deaf: tuple[Result, Path], tmp_path: Path) -> None:
    files = (FILES[0], str(deaf[1].parent / "provider.rc.conf"))
    words = ("--seeds", "1", "--hours", "0.01", "--jobs", "1", "--faults", "power")
    result = simulate(*files, *words, "--keep", str(tmp_path / "nowhere" / "plan.json"))

    assert result.exit_code == 1
    assert "cannot write the plan to" in result.stderr
    assert "The shortest plan of it" in result.stdout


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "name the configurations of at least two machines"),
        ([FILES[0]], "is one machine, and a second one is needed"),
        ([FILES[0], "/nowhere/rc.conf"], "cannot read /nowhere/rc.conf: No such file or directory"),
        ([FILES[0], "--copies", "4"], "--copies 3 is the most"),
        ([*FILES, "--faults", "fire"], "unknown fault 'fire'; known are: power, crash, "),
        ([*FILES, "--faults", "loss=20"], "loss=20: 20 is outside 0-100%; write 20% or 0.2"),
        ([*FILES, "--faults", "stop=long"], "stop=long: 'long' is not understood; write stop=10s"),
        ([*FILES, "--faults", ","], "--faults names none"),
        ([*FILES, "--hours", "nan"], "nan is outside 0.01-"),
        ([*FILES, "--svg", "/nowhere/plot.svg"], "there is no folder /nowhere"),
        ([*FILES, "--plan", "x.json"], "a plan has its own machines"),
        (["--plan", "/nowhere/x.json"], "cannot read /nowhere/x.json"),
        (["--plan", FILES[0]], "no plan of a simulation"),
    ],
)
def test_mistakes_are_one_line_and_a_code(words: list[str], complaint: str) -> None:
    result = simulate(*words)

    assert result.exit_code == 2
    assert complaint in result.stderr
    assert "Traceback" not in result.output


@pytest.mark.parametrize(
    "words",
    [
        "loss=0%",
        "loss=101%",
        "loss=nan",
        "delay=x",
        "stalls=2m",
        "stalls=90s",
        "replay=inf",
        "stop+loss",
        "demotion=much",
    ],
)
def test_amounts_have_bounds(words: str) -> None:
    with pytest.raises(UsageError, match="--faults"):
        injected_faults.parse(words)


def test_faults_are_faults_and_circumstances() -> None:
    found = injected_faults.parse("stop=3s,loss=20%+delay=50ms,stalls=500ms")

    assert found.injected_faults == (InjectedFault(fault=Fault.STOP, span_ns=3 * NS_PER_S),)
    assert [each.name for each in found.conditions] == ["loss 20% + delay 50ms", "stalls 500ms"]
    assert found.conditions[0].recurring_faults == (
        RecurringFault(fault=Fault.LOSS, amount=0.2),
        RecurringFault(fault=Fault.DELAY, amount=0.05),
    )
    assert found.surroundings == (found.conditions[0], CALM)
    assert found.of_plans == (Fault.STOP, Fault.LOSS, Fault.DELAY)


def test_help_names_every_fault() -> None:
    told = simulate("--help").stdout

    assert [word for word, _meaning in injected_faults.table() if f"\n    {word} " not in told] == []


class _Impatient:
    """A trial in which the user has seen enough."""

    seed = 1
    weight = 1.0

    def run(self) -> None:
        raise KeyboardInterrupt


def test_what_the_user_interrupts_is_told_as_far_as_it_is_known() -> None:
    trial = FaultTrial(members=topology_of(2), key=HostKey(LINK, 1), injected=InjectedFault(fault=Fault.POWER), seed=0)
    pool = WorkerPool(jobs=1)
    results = pool.work([_Impatient(), trial])  # type: ignore[list-item]  # it has what a trial has

    assert pool.is_interrupted
    assert [each is None for each in results] == [True, False]
    assert not WorkerPool(jobs=1).is_interrupted


def running_simulation(folder: Path) -> "subprocess.Popen[str]":
    """Start one that takes long, in two processes and a third that starts them; return it when they work."""
    words = ["simulate", *FILES, "--seeds", "3000", "--hours", "20", "--jobs", "2", "--faults", "power"]
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    process = subprocess.Popen(
        [sys.executable, "-m", "pycarp", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=folder,
    )
    ends_s = time.monotonic() + 20
    while len(workers(process.pid)) < 2:
        assert time.monotonic() < ends_s
        time.sleep(0.02)
    return process


def workers(pid: int) -> list[int]:
    """Return the processes that simulate: the children of the one that is forked from."""
    return [each for server in children(pid) for each in children(server)]


def test_ctrl_c_ends_it_with_what_is_known_and_leaves_no_process(tmp_path: Path) -> None:
    with running_simulation(tmp_path) as process:
        time.sleep(1)
        working = workers(process.pid)
        process.send_signal(signal.SIGINT)
        output, complaint = process.communicate(timeout=20)

    assert process.returncode in (0, 1)
    assert "interrupted: this is what was known by then" in output.splitlines()
    assert "Traceback" not in complaint
    assert not any(Path(f"/proc/{pid}").exists() for pid in working)


def test_ctrl_c_is_heeded_while_the_trials_are_handed_out(tmp_path: Path) -> None:
    with running_simulation(tmp_path) as process:
        process.send_signal(signal.SIGINT)
        output, _complaint = process.communicate(timeout=20)

    assert process.returncode in (0, 1)
    assert "interrupted: this is what was known by then" in output.splitlines()


def test_a_process_that_is_killed_is_told_with_the_way_out(tmp_path: Path) -> None:
    with running_simulation(tmp_path) as process:
        os.kill(workers(process.pid)[0], signal.SIGKILL)
        _output, complaint = process.communicate(timeout=20)

    assert (process.returncode, complaint.splitlines()[-1]) == (
        1,
        "pycarp: a process of the simulation was killed; is there enough memory? --jobs 1 takes less",
    )
    assert "Traceback" not in complaint


# Pictures


def test_a_plot_shows_who_is_master_and_what_went_wrong() -> None:
    incident = Incident(at_ns=10 * NS_PER_S, fault=Fault.POWER, node="a", span_ns=8 * NS_PER_S)
    stop = Incident(at_ns=20 * NS_PER_S, fault=Fault.STOP, node="b", span_ns=6 * NS_PER_S)
    plan = FaultPlan(seed=1, members=topology_of(2), incidents=(incident, stop), until_ns=30 * NS_PER_S)

    assert plain(plot(simulate_plan(plan), width=60)) == [
        "a ░░░░░░██████████████                ░░░░░░░█████████████████",
        "b ░░░░░░░░░░░░░░░░░░░░░░░░░███████████████▒▒▒▒▒▒▒▒▒▒▒▒░░░░░░░░",
        "  +---------+---------+---------+---------+---------+---------",
        "  0 s       5 s       10 s      15 s      20 s      25 s",
        "                      a~~~~~~~~~~~~~~~~",
        "  10.000 s: power a for 8 s",
        "                 20.000 s: stop b for 6 s b~~~~~~~~~~~~",
        "█ MASTER  ░ BACKUP  · INIT  ▒ stands still  ▄ not MASTER, but has the addresses",
    ]


def test_a_part_of_a_plan_has_the_times_of_the_part() -> None:
    incident = Incident(at_ns=10 * NS_PER_S, fault=Fault.POWER, node="a", span_ns=8 * NS_PER_S)
    plan = FaultPlan(seed=1, members=topology_of(2), incidents=(incident,), until_ns=30 * NS_PER_S)

    lines = plain(plot(simulate_plan(plan), width=40, from_ns=11 * NS_PER_S, to_ns=21 * NS_PER_S))

    assert [line for line in lines if line.startswith("      12 s")] == ["      12 s    14 s    16 s    18 s    20 s"]
    assert [line for line in lines if "+" in line] == ["  ----+-------+-------+-------+-------+---"]


def test_a_picture_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    picture = tmp_path / "plot.svg"
    simulate(*FILES, *QUICK, "--faults", "power", "--svg", str(picture))
    svg = picture.read_text()

    assert svg.startswith("<svg")
    assert "█" in svg
    assert "url(http" not in svg


# The page


def _names(kind: type[msgspec.Struct]) -> list[str]:
    return [field.name for field in msgspec.structs.fields(kind)]


def test_the_page_names_every_key() -> None:
    page, schema = PAGE.read_text(), msgspec.json.schema(Report)
    keys = {key for table in schema["$defs"].values() for key in table["properties"]} | set(_names(PlanReport))

    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


def test_the_page_names_every_fault() -> None:
    page = PAGE.read_text()

    assert [word for word, _meaning in injected_faults.table() if f"`{word.partition('=')[0]}" not in page] == []
