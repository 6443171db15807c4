"""Tests that exactly one host reports; they need pytest and pycarp, but no network, no root and no waiting."""

import pytest
from reporter import report_while_master


@pytest.fixture
def reports():
    return []


@pytest.fixture
def program(reports):
    return lambda member: report_while_master(member.host, lambda: reports.append(member.name))


async def test_the_next_host_reports_when_the_first_one_dies(cluster, program, reports):
    c = await cluster(3, program=program)
    await c.settle()
    c.kill(c.a)
    await c.settle()
    reports.clear()
    await c.advance(180)
    assert reports == ["b"] * 3
    c.assert_never_two_owners()


async def test_only_one_host_reports_after_the_network_has_healed(cluster, program, reports):
    c = await cluster(3, program=program)
    c.partition(["a"], ["b", "c"])
    await c.settle()
    assert len(c.masters()) == 2
    c.heal()
    await c.settle()
    reports.clear()
    await c.advance(180)
    assert reports == ["a"] * 3
