"""Laws that hold for every dialect, and the way to one by its name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pycarp import dialects
from pycarp.auth.digest import Signer
from pycarp.auth.key import Passphrase
from pycarp.dialects import ALL, Claim, Dialect, Verdict
from pycarp.errors import ConfigError
from pycarp.vocabulary import Address

every_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)

# Few values, so that equal claims and equal intervals are frequent; 255/255 is the bow-out.
OCTET = st.sampled_from([0, 1, 2, 100, 240, 254, 255])
CLAIMS = st.builds(Claim, advbase=OCTET, advskew=OCTET, demote=OCTET)

OPPOSITE = {
    Verdict.STRONGER: Verdict.WEAKER,
    Verdict.WEAKER: Verdict.STRONGER,
    Verdict.TIE: Verdict.TIE,
}


def is_at_least(dialect: Dialect, one: Claim, other: Claim) -> bool:
    return dialect.compare(one, other) is not Verdict.WEAKER


@every_dialect
@given(claim=CLAIMS)
def test_a_claim_ties_with_itself(dialect: Dialect, claim: Claim) -> None:
    assert dialect.compare(claim, claim) is Verdict.TIE


@every_dialect
@given(one=CLAIMS, other=CLAIMS)
def test_two_hosts_agree_on_who_is_stronger(dialect: Dialect, one: Claim, other: Claim) -> None:
    assert dialect.compare(one, other) is OPPOSITE[dialect.compare(other, one)]


@every_dialect
@given(claims=st.permutations(range(3)), one=CLAIMS, two=CLAIMS, three=CLAIMS)
def test_strength_is_transitive(dialect: Dialect, claims: list[int], one: Claim, two: Claim, three: Claim) -> None:
    first, second, third = ((one, two, three)[each] for each in claims)

    if is_at_least(dialect, first, second) and is_at_least(dialect, second, third):
        assert is_at_least(dialect, first, third)


@every_dialect
@given(
    advbase=st.integers(1, 255),
    advskew=st.integers(0, 255),
    demotion=st.integers(-600, 600),
    more=st.integers(0, 600),
)
def test_more_demotion_never_makes_a_claim_stronger(
    dialect: Dialect, advbase: int, advskew: int, demotion: int, more: int
) -> None:
    before = dialect.claim(advbase, advskew, demotion)
    after = dialect.claim(advbase, advskew, demotion + more)

    assert dialect.compare(after, before) is not Verdict.STRONGER


@every_dialect
@given(advbase=st.integers(1, 255), advskew=st.integers(0, 255), demotion=st.integers(-600, 600))
def test_a_claim_fits_on_the_wire(dialect: Dialect, advbase: int, advskew: int, demotion: int) -> None:
    claim = dialect.claim(advbase, advskew, demotion)

    assert claim.advbase == advbase
    assert 0 <= claim.advskew <= 255
    assert 0 <= claim.demote <= 255


@every_dialect
@given(advskew=st.integers(0, 254))
def test_a_backup_waits_longer_than_two_intervals_of_its_equal(dialect: Dialect, advskew: int) -> None:
    """One lost advertisement must not cost a takeover. Not so with advbase 0, which is why it is refused."""
    interval_ns = dialect.claim(1, advskew, 0).interval_ns

    assert dialect.master_down_ns(1, advskew, 3) > 2 * interval_ns


@every_dialect
@given(advbase=st.integers(1, 85), advskew=st.integers(0, 254))
def test_a_bow_out_is_always_too_slow(dialect: Dialect, advbase: int, advskew: int) -> None:
    """Source: carp.md 5.3; a host with advbase 86 or more would not react."""
    assert dialect.tolerated_ns(advbase, advskew, 3) < Claim(advbase=255, advskew=255).interval_ns


@every_dialect
@given(counter=st.integers(0, (1 << 64) - 1), vhid=st.integers(1, 255), addresses=st.lists(st.ip_addresses()))
def test_every_dialect_accepts_what_every_dialect_signs_without_link_locals(
    dialect: Dialect, counter: int, vhid: int, addresses: list[Address]
) -> None:
    shared = [each for each in addresses if not each.is_link_local]
    secret = Passphrase("testpass")
    ours = Signer(passphrase=secret, vhid=vhid, addresses=shared, layouts=dialect.layouts)

    for other in ALL:
        theirs = Signer(passphrase=secret, vhid=vhid, addresses=shared, layouts=other.layouts)
        assert ours.verify(counter, theirs.sign(counter))


@every_dialect
def test_a_dialect_is_found_by_its_name(dialect: Dialect) -> None:
    assert dialects.by_name(dialect.name) is dialect


def test_names_are_distinct() -> None:
    assert len({dialect.name for dialect in ALL}) == len(ALL)


@pytest.mark.parametrize("name", ["", "UCARP", "vrrp"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        ConfigError, match=f"unknown dialect '{name}'; known are: universal, freebsd, freebsd9, openbsd, netbsd, ucarp"
    ):
        dialects.by_name(name)


def test_the_default_comes_first() -> None:
    assert ALL[0] is dialects.UNIVERSAL
