"""ucarp 1.5.2, the user-space CARP that Debian ships."""

from pycarp.auth.counter import CounterMode
from pycarp.auth.digest import DigestLayout, HashOrder
from pycarp.dialects import rules
from pycarp.dialects.dialect import (
    AddressMac,
    ArpForm,
    DestinationRule,
    Dialect,
    ErrorBudget,
    Farewell,
    Limits,
    TtlRule,
)
from pycarp.vocabulary import Family
from pycarp.wire import ethernet, ip

UCARP = Dialect(
    name="ucarp",
    hash_order=HashOrder.SORTED,  # one address: there is no order
    layouts=(DigestLayout.ORIGINAL,),  # captured
    signs_lladdr=False,  # carp.md 3.4: OpenBSD only
    # carp.md 8.6; longer passwords are an error, captured.
    limits=Limits(advskew_max=255, addresses=1, families=(Family.IPV4,), has_own_group=True, has_dead_ratio=True),
    counter=CounterMode.ADOPT,  # carp.md 1.5
    v6_checksum=None,  # carp.md 1.3: no IPv6 at all
    claim=rules.demote_by_suppressing,  # carp.md 6.3
    compare=rules.faster_wins,  # carp.md 5.1
    keeps_on_tie=rules.keep_with_lower_address,  # captured, carp.md 5.1
    preempts_demoted=False,  # carp.md 5.1: OpenBSD only
    advertises_recovery=False,  # carp.md 6.3
    master_down_ns=rules.master_down_skew_thrice,  # measured: 4.215 s at advbase 1, advskew 100
    tolerated_ns=rules.master_down_skew_once,  # carp.md 5.1: dead_ratio x advbase + skew/256
    bow_out=None,  # carp.md 5.3: exit, signals and link loss are silent
    farewell=Farewell.BEFORE,  # captured: one more ordinary advertisement when it yields
    source_mac=ethernet.ucarp_mac,  # captured
    ttl=TtlRule.ALWAYS,  # carp.md 4.2
    destination=DestinationRule.GROUP_ONLY,  # carp.md 4.2: exactly the configured group
    tos=ip.TOS_LOW_DELAY,  # captured
    identification=None,  # captured: random
    drops_own_source=True,  # carp.md 4.2
    vrrp3=False,  # carp.md section 9
    address_mac=AddressMac.REAL,  # captured
    arp=ArpForm(own_target_mac=True, link_source=True, with_reply=False),  # captured
    announce_again_after=2,  # captured: ARP at 3.031 and 5.031 s
    reasserts=True,  # captured: at once, and with the second following advertisement
    answers_weaker=False,  # the next advertisement does
    yield_grace_ns=0,  # its MASTERs do not wait
    takeover_listen_ns=0,  # its MASTERs do not wait
    defers_to_better_master=False,  # carp.md 5.1: it judges each advertisement alone
    announce_every_s=0,  # its MASTERs do not repeat it
    drops_at_start=True,  # captured: the down-script runs at start, unless neutral
    unknown_link_is_up=True,  # carp.md 5.3: the RUNNING flag
    needs_allow=False,  # it ignores advertisements
    send_errors=ErrorBudget(failures=3, successes=3, demotion=1),  # carp.md 6.3: any count means 240
    link_down_demotion=0,  # carp.md 6.3: fed by failed writes only
)
"""ucarp 1.5.2."""
