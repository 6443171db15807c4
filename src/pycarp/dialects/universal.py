"""The default dialect: accepts what any system sends, and sends what every system accepts."""

from pycarp.auth.counter import CounterMode
from pycarp.auth.digest import DigestLayout, HashOrder
from pycarp.dialects import rules
from pycarp.dialects.dialect import (
    AddressMac,
    ArpForm,
    Claim,
    DestinationRule,
    Dialect,
    ErrorBudget,
    Farewell,
    Limits,
    TtlRule,
)
from pycarp.vocabulary import Family
from pycarp.wire import ethernet, ip
from pycarp.wire.advertisement import ChecksumForm

UNIVERSAL = Dialect(
    name="universal",
    hash_order=HashOrder.SORTED,  # as all present systems
    # Signs as FreeBSD and NetBSD do, which OpenBSD accepts as well; accepts all three: carp.md 3.3 and 14.
    layouts=(DigestLayout.ORIGINAL, DigestLayout.WITHOUT_LINK_LOCAL),
    signs_lladdr=False,  # no other system would accept it
    # Unicast to any number of peers.
    limits=Limits(advbase_min=0, peer_families=(Family.IPV4, Family.IPV6), has_own_group=True, has_dead_ratio=True),
    # Never an echo, which OpenBSD would take for a loop (carp.md section 10); predictable, see hardening.md.
    counter=CounterMode.COUNT,
    v6_checksum=ChecksumForm.PLAIN,  # what all but newer NetBSD accept, carp.md section 2
    claim=rules.demote_by_adding_in_order,  # graded, so that several demoted hosts still differ
    compare=rules.faster_wins,  # carp.md 5.1
    keeps_on_tie=rules.keep_with_lower_address,  # as ucarp; core/host/takeover.py settles it with the BSDs
    preempts_demoted=False,  # the demote octet is not authentic, carp.md section 10
    advertises_recovery=True,  # so that peers react at once
    master_down_ns=rules.master_down_below_a_second,  # carp.md 5.2, OpenBSD; other systems have no advbase 0
    tolerated_ns=rules.master_down_below_a_second,  # carp.md 5.1
    bow_out=Claim(advbase=255, advskew=255, demote=255),  # every system understands it, carp.md 5.3 and 15
    farewell=Farewell.DROPPED,  # core/host/takeover.py
    source_mac=ethernet.virtual_mac,  # carp.md 1.4
    ttl=TtlRule.NOT_FROM_PEERS,  # a peer in another network is some routers away
    destination=DestinationRule.GROUP_OR_PEER,  # what the configuration says
    tos=ip.TOS_LOW_DELAY,  # carp.md 1.2
    identification=None,  # no receiver cares
    drops_own_source=True,  # looping bridges and hypervisor uplinks exist, carp.md 4.4
    vrrp3=False,  # carp.md section 9
    address_mac=AddressMac.VIRTUAL,  # carp.md section 7
    # Some equipment accepts only one of the two forms.
    arp=ArpForm(own_target_mac=False, link_source=False, with_reply=True),
    # A late one must not teach a switch that the virtual MAC is still here (carp.md section 12).
    arp_again=ArpForm(own_target_mac=False, link_source=True, with_reply=True),
    announce_again_after=2,  # harmless, and heard by switches that missed the first
    reasserts=True,  # clients that learned the loser's MAC during a split come back at once
    answers_weaker=True,  # the loser drops in milliseconds, not after an interval
    yield_grace_ns=10_000_000,  # never two owners: a kernel drops at once, and pycarp says when it has
    takeover_listen_ns=3_000_000,  # never two owners: another new MASTER is heard within that
    defers_to_better_master=True,  # the farewell of a loser, or a stray MASTER, must not make a third one
    announce_every_s=60,  # for switches and clients that forget, or were misled
    drops_at_start=True,  # a crashed predecessor may have left the addresses
    unknown_link_is_up=True,  # tunnels and some drivers never say
    needs_allow=False,  # it ignores advertisements
    send_errors=ErrorBudget(failures=3, successes=3, demotion=240),  # as FreeBSD
    link_down_demotion=240,  # as FreeBSD, so that the virtual hosts of a node move together
)
"""The dialect of a host whose configuration names none."""
