"""The ledger of demotions: named causes, of the node or of one host."""

from hypothesis import given
from hypothesis import strategies as st

from pycarp.core.demotion import DemotionLedger, Scope, bears_on
from tests.support.hosts import config

CONFIG = config(vhid=1)
OTHER_CONFIG = config(vhid=2, groups=("carp", "lan"))
HOST = CONFIG.key
OTHER = OTHER_CONFIG.key

SCOPES = st.sampled_from([None, HOST, OTHER, "carp", "lan"])
CAUSES = st.sampled_from(["link", "maintenance", "pfsync"])
AMOUNTS = st.integers(-300, 300)


def ledger(*entries: tuple[Scope, str, int]) -> DemotionLedger:
    made = DemotionLedger()
    for scope, cause, amount in entries:
        made.set(scope, cause, amount)
    return made


def test_an_empty_ledger_demotes_nobody() -> None:
    made = ledger()

    assert (made.total(CONFIG), made.node_total(), made.causes(CONFIG)) == (0, 0, ())


def test_causes_add_up() -> None:
    """Source: carp.md 6.1, "the counter reaches 480"."""
    assert ledger((None, "link", 240), (None, "pfsync", 240)).total(CONFIG) == 480


def test_a_cause_of_the_node_bears_on_every_host() -> None:
    made = ledger((None, "link", 240))

    assert (made.total(CONFIG), made.total(OTHER_CONFIG), made.node_total()) == (240, 240, 240)


def test_a_cause_of_a_host_bears_on_it_alone() -> None:
    made = ledger((HOST, "maintenance", 50))

    assert (made.total(CONFIG), made.total(OTHER_CONFIG), made.node_total()) == (50, 0, 0)


def test_a_cause_of_a_group_bears_on_its_hosts() -> None:
    """Source: OpenBSD, carp.md 6.4."""
    made = ledger(("lan", "carpdemote", 3))

    assert (made.total(CONFIG), made.total(OTHER_CONFIG), made.node_total()) == (0, 3, 0)
    assert made.group_totals() == {"lan": 3}


def test_every_host_is_in_group_carp() -> None:
    """Source: OpenBSD, carp.md 6.4."""
    assert ledger(("carp", "carpdemote", 1)).total(CONFIG) == 1


def test_the_same_cause_in_two_scopes_counts_twice() -> None:
    assert ledger((None, "link", 10), (HOST, "link", 5)).total(CONFIG) == 15


def test_setting_a_cause_again_replaces_its_amount() -> None:
    assert ledger((None, "link", 240), (None, "link", 100)).total(CONFIG) == 100


def test_zero_takes_a_cause_back() -> None:
    made = ledger((None, "link", 240), (None, "link", 0))

    assert (made.total(CONFIG), made.causes(CONFIG)) == (0, ())


def test_a_negative_amount_promotes() -> None:
    """Source: carp.md 6.1, the sysctl is signed."""
    assert ledger((None, "link", 240), (None, "sysctl", -40)).total(CONFIG) == 200


def test_only_a_change_is_reported_as_one() -> None:
    made = ledger()

    assert [made.set(None, "link", amount) for amount in (0, 240, 240, 100, 0, 0)] == [
        False,
        True,
        False,
        True,
        True,
        False,
    ]


def test_the_causes_of_the_node_come_first() -> None:
    made = ledger((HOST, "maintenance", 50), (None, "link", 240), (OTHER, "elsewhere", 1))

    assert made.causes(CONFIG) == (("link", 240), ("maintenance", 50))


def test_a_ledger_that_is_made_of_the_entries_of_another_has_the_same_last_hosts() -> None:
    made = DemotionLedger()
    made.set(HOST, "health", 240, is_last=True)
    made.set(OTHER, "health", 240)

    again = DemotionLedger(made.entries, made.last)

    assert (again.makes_last(CONFIG), again.makes_last(OTHER_CONFIG)) == (True, False)


def test_forgetting_a_host_leaves_the_others_and_the_node() -> None:
    made = ledger((HOST, "maintenance", 50), (OTHER, "maintenance", 60), (None, "link", 1))
    made.forget(HOST)

    assert (made.total(CONFIG), made.total(OTHER_CONFIG)) == (1, 61)


def test_forgetting_an_unknown_host_does_nothing() -> None:
    made = ledger((None, "link", 1))
    made.forget(HOST)

    assert made.total(CONFIG) == 1


@given(st.lists(st.tuples(SCOPES, CAUSES, AMOUNTS), max_size=30))
def test_the_total_is_the_sum_of_what_was_set_last(entries: list[tuple[Scope, str, int]]) -> None:
    made = ledger(*entries)

    last = {(scope, cause): amount for scope, cause, amount in entries}
    for host in (CONFIG, OTHER_CONFIG):
        bearing = [amount for (scope, _cause), amount in last.items() if bears_on(scope, host)]
        assert made.total(host) == sum(bearing) == sum(amount for _cause, amount in made.causes(host))
