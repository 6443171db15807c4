"""FreeBSD 10 and newer: the vhid is attached to addresses of the real interface."""

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
from pycarp.wire import ethernet
from pycarp.wire.advertisement import ChecksumForm

FREEBSD = Dialect(
    name="freebsd",
    hash_order=HashOrder.SORTED,  # carp.md 3.2
    layouts=(DigestLayout.ORIGINAL,),  # carp.md 3.2, 3.3: link-locals count if they were given the vhid
    signs_lladdr=False,  # carp.md 3.4: OpenBSD only
    # carp.md 3.5, 8.3: netlink sets 20 octets; peer and peer6.
    limits=Limits(key_octets=20, peers=1, peer_families=(Family.IPV4, Family.IPV6)),
    counter=CounterMode.ADOPT,  # carp.md 1.5
    v6_checksum=ChecksumForm.PLAIN,  # carp.md section 2
    claim=rules.demote_by_adding,  # carp.md 6.1
    compare=rules.faster_wins,  # carp.md 5.1
    keeps_on_tie=rules.never_keep,  # carp.md 5.1: equal means yield
    preempts_demoted=False,  # carp.md 5.1: OpenBSD only
    advertises_recovery=True,  # carp.md 6.1: any change of the counter
    master_down_ns=rules.master_down_skew_once,  # carp.md 5.2
    tolerated_ns=rules.master_down_skew_once,  # carp.md 5.1, BACKUP test 3
    bow_out=None,  # carp.md 5.3: FreeBSD 10 and newer leave silently
    farewell=Farewell.NONE,  # carp.md 5.3
    source_mac=ethernet.virtual_mac,  # carp.md 1.4
    ttl=TtlRule.NOT_WITH_PEERS,  # carp.md 4.2, and run: 14 and 15 accept TTL 1 where `peer` is set, and from anybody
    destination=DestinationRule.ANY,  # carp.md 4.2: not tested
    tos=0xE0,  # net.inet.carp.dscp 56, FreeBSD 12 and newer, carp.md 1.2
    identification=None,  # carp.md 1.2: the kernel generates it
    drops_own_source=False,  # carp.md 4.4
    vrrp3=True,  # carp.md section 9: FreeBSD 15, by vhid
    address_mac=AddressMac.VIRTUAL,  # carp.md section 7
    arp=ArpForm(own_target_mac=False, link_source=True, with_reply=False),  # carp.md section 7
    announce_again_after=None,  # carp.md 5.3: one round
    reasserts=False,  # carp.md 5.1
    answers_weaker=False,  # the next advertisement does
    yield_grace_ns=0,  # its MASTERs do not wait
    takeover_listen_ns=0,  # its MASTERs do not wait
    defers_to_better_master=False,  # carp.md 5.1: it judges each advertisement alone
    announce_every_s=0,  # its MASTERs do not repeat it
    drops_at_start=True,  # a kernel starts without addresses; a process may have a predecessor that left some
    unknown_link_is_up=False,  # carp.md 5.3: link state must be exactly UP
    needs_allow=True,  # carp.md 14: FreeBSD 12 and newer
    send_errors=ErrorBudget(failures=3, successes=3, demotion=240),  # senderr_demotion_factor, carp.md 6.1
    link_down_demotion=240,  # ifdown_demotion_factor, carp.md 6.1
)
"""FreeBSD 10 and newer."""
