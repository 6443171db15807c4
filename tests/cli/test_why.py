"""``pycarp why`` as its user reads it."""

import json
from pathlib import Path

from pycarp.daemon.control_messages import Alarm, CheckStatus, OutlookStatus, RestrictionStatus, WhyReply, WhyRequest
from tests.support.control import cause_of, host_of, scripted_daemon

REPLY = WhyReply(
    host=host_of(
        "web",
        state="BACKUP",
        advskew=0,
        effective_advbase=255,
        effective_advskew=240,
        demotion=[cause_of("check nginx", 240)],
        restrictions=[RestrictionStatus(cause="failback delay", to="no-preempt", ends_in_s=12.4)],
        checks=[CheckStatus(name="nginx", passes=False, answer="fail", detail="it is down", by=None, s_ago=3.0)],
        heard=[],
    ),
    outlook=[
        OutlookStatus(state="MASTER", reason="master timed out", condition="no advertisement until then", in_s=3.5824),
        OutlookStatus(state="MASTER", reason="master bowed out", condition="the master bows out", in_s=None),
    ],
)


def test_the_chain_from_cause_to_claim_to_what_can_happen_is_told(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", lambda _request: REPLY) as daemon:
        result = daemon.pycarp("why", "web")
        assert daemon.asked == [WhyRequest("web")]

    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "web (1@fxp0) is BACKUP for 3.2 s: master timed out",
        "",
        "It claims:  every 255.938 s (advbase 255 advskew 240) instead of advbase 1 advskew 0, because it is demoted",
        "            demoted by 240: check nginx",
        "            restricted to no-preempt: failback delay, for another 12 s",
        "            check nginx fails: it is down",
        "It heard:   no other host",
        "Next:       MASTER in 3.582 s if no advertisement until then (master timed out)",
        "            MASTER as soon as the master bows out (master bowed out)",
    ]


def test_scripts_get_one_object(tmp_path: Path) -> None:
    with scripted_daemon(tmp_path / "s", lambda _request: REPLY) as daemon:
        found = json.loads(daemon.pycarp("why", "web", "--json").stdout)

    assert (found["type"], found["host"]["name"], found["outlook"][0]["in_s"]) == ("why", "web", 3.5824)


def test_a_master_has_nobody_to_preempt_and_no_restriction_of_that(tmp_path: Path) -> None:
    restriction = RestrictionStatus(cause="failback delay", to="no-preempt")
    reply = WhyReply(host=host_of("web", restrictions=[restriction]), outlook=[])
    with scripted_daemon(tmp_path / "s", lambda _request: reply) as daemon:
        assert "failback delay" not in daemon.pycarp("why", "web").stdout


def test_an_alarm_is_part_of_the_answer(tmp_path: Path) -> None:
    alarms = [
        Alarm(name="not-authentic", text="advertisements from 192.168.1.4 are not", command="pycarp decode -i fxp0"),
        Alarm(name="same-vrid", text="192.168.1.9 speaks VRRP", command=""),
    ]
    with scripted_daemon(
        tmp_path / "s", lambda _request: WhyReply(host=host_of("web", alarms=alarms), outlook=[])
    ) as it:
        *_rest, first, second = it.pycarp("why", "web").stdout.splitlines()

    assert first == "Alarm:      not-authentic: advertisements from 192.168.1.4 are not; next: pycarp decode -i fxp0"
    assert second == "            same-vrid: 192.168.1.9 speaks VRRP"
