"""Checks of real nodes in virtual time: who serves while a check fails, hangs, raises or recovers."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pycarp import ConfigError, State, VirtualHost
from pycarp.health import Answer, Check, Finding, Request, look, watch
from pycarp.testing import Cluster
from pycarp.testing.virtual_time import VirtualTimeLoop
from tests.support.virtual import in_virtual_time, now_s


class Service:
    """What a check looks at."""

    def __init__(self) -> None:
        self.answer: object = True

    async def probe(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        if self.answer == "hangs":
            await asyncio.sleep(1000)
        return self.answer


@contextlib.asynccontextmanager
async def watched(host: VirtualHost, *checks: Check) -> AsyncIterator[None]:
    task = asyncio.create_task(watch(host, *checks))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def check_of(service: Service, **settings: Any) -> Check:
    return Check(name="web", probe=service.probe, **{"every_s": 0.1, "timeout_s": 0.1, "rise": 1, "fall": 2} | settings)


async def until_master(host: VirtualHost, *, within_s: float) -> float:
    """Return how long it took until a host became MASTER."""
    began_s = now_s()
    async with asyncio.timeout(within_s):
        await host.wait_for(State.MASTER)
    return now_s() - began_s


@pytest.mark.parametrize("answer", [False, Answer.FAIL, RuntimeError("no"), "hangs", 7])
@pytest.mark.parametrize("preempt", [True, False])
@in_virtual_time
async def test_a_failing_check_moves_the_address_whether_or_not_peers_preempt(answer: object, preempt: bool) -> None:
    service = Service()
    async with Cluster(3, preempt=preempt) as cluster:
        async with watched(cluster.a.host, check_of(service)):
            await cluster.settle()
            assert cluster.master is cluster.a

            service.answer = answer
            took_s = await until_master(cluster.b.host, within_s=1)

            assert took_s < 0.1 * 2 + 0.1 * 2 + 0.02
            await cluster.settle()
            cluster.assert_one_master()
            assert cluster.master is cluster.b
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_a_lone_host_keeps_the_address_and_leaves_it_when_a_peer_comes_that_does_not_preempt() -> None:
    service = Service()
    async with Cluster(2, preempt=False) as cluster, watched(cluster.a.host, check_of(service)):
        await cluster.settle()
        cluster.kill("b")
        service.answer = False
        await asyncio.sleep(5)
        assert cluster.master is cluster.a

        await cluster.restart("b")
        await until_master(cluster.b.host, within_s=5)

        await cluster.settle()
        cluster.assert_one_master()
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_where_every_check_fails_the_address_stays_served() -> None:
    service = Service()
    async with Cluster(2) as cluster:
        async with watched(cluster.a.host, check_of(service)), watched(cluster.b.host, check_of(service)):
            await cluster.settle()
            service.answer = False
            await asyncio.sleep(10)

            cluster.assert_one_master()
            cluster.kill(cluster.master)
            await asyncio.sleep(8)
            cluster.assert_one_master()
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_a_preferred_host_comes_back_when_its_check_passes_and_not_before() -> None:
    service = Service()
    async with Cluster(2, preempt=True) as cluster, watched(cluster.a.host, check_of(service, rise=3)):
        await cluster.settle()
        service.answer = False
        await asyncio.sleep(20)
        assert cluster.master is cluster.b

        service.answer = True
        await cluster.settle()
        await asyncio.sleep(3)

        assert cluster.master is cluster.a
        cluster.assert_never_two_owners()


@in_virtual_time
async def test_a_check_that_demotes_adds_its_amount() -> None:
    service = Service()
    service.answer = False
    async with Cluster(2) as cluster, watched(cluster.a.host, check_of(service, by=50)):
        await cluster.settle()

        assert cluster.a.host.snapshot().demotion == (("check web", 50),)


@in_virtual_time
async def test_no_demotion_is_left_when_the_watch_ends() -> None:
    service = Service()
    service.answer = False
    async with Cluster(2) as cluster:
        async with watched(cluster.a.host, check_of(service)):
            await asyncio.sleep(5)
            assert cluster.a.host.snapshot().demotion == (("check web", 240),)

        assert not cluster.a.host.snapshot().demotion


@in_virtual_time
async def test_two_checks_of_one_name_are_refused() -> None:
    async with Cluster(2) as cluster:
        with pytest.raises(ConfigError, match="two checks are called 'web'"):
            await watch(cluster.a.host, check_of(Service()), check_of(Service()))


@pytest.mark.parametrize("arguments", [{}, {"by": 5, "last": True}, {"last": 1}])
def test_a_demotion_has_an_amount_or_is_last(arguments: dict[str, Any]) -> None:
    @in_virtual_time
    async def demote() -> None:
        async with Cluster(2) as cluster:
            with pytest.raises(ConfigError):
                cluster.a.host.demote("cause", **arguments)

    demote()


@pytest.mark.parametrize(
    ("answer", "finding"),
    [
        (None, Finding(Answer.OK)),
        (True, Finding(Answer.OK)),
        (Finding(Answer.OK, "status 200"), Finding(Answer.OK, "status 200")),
        (False, Finding(Answer.FAIL, "the answer was False")),
        (Answer.UNKNOWN, Finding(Answer.UNKNOWN, "the answer was unknown")),
        (RuntimeError("no"), Finding(Answer.UNKNOWN, "RuntimeError: no")),
        (7, Finding(Answer.UNKNOWN, "the probe returned 7 instead of True or False")),
        ("hangs", Finding(Answer.UNKNOWN, "no answer within 100ms")),
        (Finding(Answer.FAIL, "two\nlines\x1b[m"), Finding(Answer.FAIL, "two lines [m")),
        (Finding(Answer.FAIL, "x" * 400), Finding(Answer.FAIL, "x" * 296 + " ...")),
    ],
)
def test_a_run_is_an_answer_with_a_detail_of_one_line(answer: object, finding: Finding) -> None:
    service = Service()
    service.answer = answer

    @in_virtual_time
    async def run() -> None:
        assert await look(check_of(service)) == finding

    run()


@in_virtual_time
async def test_a_request_that_nobody_answers_fails_at_the_timeout() -> None:
    service = Service()
    service.answer = "hangs"
    check = Check(name="web", probe=Request(service.probe, "192.0.2.1 does not answer"), timeout_s=1, unknown=Answer.OK)

    assert await look(check) == Finding(Answer.FAIL, "192.0.2.1 does not answer within 1s")


@in_virtual_time
async def test_a_limit_of_the_probe_itself_is_no_silence() -> None:
    async def limited() -> Finding:
        async with asyncio.timeout(0.1):
            await asyncio.sleep(1)
        return Finding(Answer.OK)

    check = Check(name="web", probe=Request(limited, "192.0.2.1 does not answer"))

    assert await look(check) == Finding(Answer.UNKNOWN, "the probe raised TimeoutError")


@pytest.mark.parametrize(("needs_s", "answer"), [(0.3, Answer.OK), (3, Answer.UNKNOWN)])
def test_a_process_that_was_stopped_reads_an_answer_before_its_timeout_counts(needs_s: float, answer: Answer) -> None:
    async def answered() -> None:
        await asyncio.sleep(0.1)
        await asyncio.sleep(needs_s)

    @in_virtual_time
    async def run() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualTimeLoop)
        loop.call_later(0.05, loop.stall, 60)

        assert (await look(Check(name="web", probe=answered, timeout_s=1))).answer is answer

    run()


@in_virtual_time
async def test_a_probe_that_does_not_end_when_cancelled_fails_and_is_not_run_twice_at_a_time() -> None:
    running = 0
    is_stubborn = False

    async def stubborn() -> None:
        nonlocal running
        running += 1
        assert running == 1
        ends_s = now_s() + (20 if is_stubborn else 0)
        while now_s() < ends_s:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(ends_s - now_s())
        running -= 1

    check = Check(name="web", probe=stubborn, every_s=1, timeout_s=1, rise=1, fall=1)
    async with Cluster(2) as cluster, watched(cluster.a.host, check):
        await cluster.settle()
        assert cluster.master is cluster.a

        is_stubborn = True
        await until_master(cluster.b.host, within_s=5)
        is_stubborn = False
        await asyncio.sleep(30)

        assert cluster.a.host.snapshot().demotion == ()


@in_virtual_time
async def test_checks_of_one_interval_do_not_run_at_one_time() -> None:
    ran_s: list[float] = []

    async def note() -> None:
        ran_s.append(round(now_s() % 1, 2))

    checks = [Check(name=f"check {number}", probe=note) for number in range(100)]
    async with Cluster(1) as cluster, watched(cluster.a.host, *checks):
        await asyncio.sleep(5)
        ran_s.clear()
        await asyncio.sleep(1)

        assert len(ran_s) == 100
        assert max(map(ran_s.count, ran_s)) < 10


@in_virtual_time
async def test_a_probe_that_cancels_itself_goes_on_being_run() -> None:
    answers: list[bool] = []

    async def cancels() -> None:
        answers.append(True)
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never

    async with Cluster(2) as cluster, watched(cluster.a.host, Check(name="web", probe=cancels, every_s=0.1)):
        await asyncio.sleep(1)

        assert len(answers) > 5
        assert cluster.a.host.snapshot().demotion == (("check web", 240),)


@in_virtual_time
async def test_checks_of_a_host_that_departs_end_also_while_they_pass() -> None:
    service = Service()
    async with Cluster(2) as cluster:
        await cluster.settle()
        task = asyncio.create_task(watch(cluster.a.host, check_of(service)))
        await asyncio.sleep(1)

        await cluster.leave("a")

        async with asyncio.timeout(1):
            await task


@in_virtual_time
async def test_checks_of_a_node_demote_every_host_of_it() -> None:
    service = Service()
    async with Cluster(2, vhids=(1, 2)) as cluster:
        await cluster.settle()
        task = asyncio.create_task(watch(cluster.a.node, check_of(service)))
        service.answer = False
        await asyncio.sleep(5)

        assert [cluster.masters(vhid) for vhid in (1, 2)] == [(cluster.b,), (cluster.b,)]
        task.cancel()
        await asyncio.wait([task])


@in_virtual_time
async def test_a_check_with_release_lets_go_of_the_address_even_if_nobody_else_is_there() -> None:
    service = Service()
    async with Cluster(1) as cluster, watched(cluster.a.host, check_of(service, release=True)):
        await cluster.settle()
        service.answer = False
        await asyncio.sleep(60)
        assert (cluster.a.host.state, cluster.a.addresses) == (State.BACKUP, ())

        service.answer = True
        await cluster.settle()
        assert cluster.master is cluster.a


@in_virtual_time
async def test_of_two_masters_of_a_split_the_one_without_witness_lets_go() -> None:
    services = [Service(), Service()]
    async with (
        Cluster(2) as cluster,
        watched(cluster.a.host, check_of(services[0], release=True)),
        watched(cluster.b.host, check_of(services[1], release=True)),
    ):
        await cluster.settle()
        cluster.partition("a", "b")
        services[0].answer = False
        await until_master(cluster.b.host, within_s=5)
        await asyncio.sleep(10)
        assert [each.name for each in cluster if each.addresses] == ["b"]

        cluster.heal()
        services[0].answer = True
        await cluster.settle()
        cluster.assert_one_master()
