"""OpenBSD, as its kernels of 2015 to 2020 were read."""

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

OPENBSD = Dialect(
    name="openbsd",
    hash_order=HashOrder.SORTED,  # carp.md 3.2
    layouts=(DigestLayout.WITHOUT_LINK_LOCAL, DigestLayout.ORIGINAL),  # carp.md 3.3: sends NOV6LL, accepts either
    signs_lladdr=True,  # carp.md 3.4
    # carp.md 8.4: advbase 0, carppeer for IPv4 only.
    limits=Limits(advbase_min=0, advskew_max=255, peers=1, peer_families=(Family.IPV4,)),
    counter=CounterMode.CONSTANT,  # carp.md 1.5: a random cookie for the life of the vhid
    v6_checksum=ChecksumForm.PLAIN,  # carp.md section 2
    claim=rules.demote_by_octet,  # carp.md 6.4
    compare=rules.less_demoted_then_faster,  # carp.md 5.1
    keeps_on_tie=rules.never_keep,  # carp.md 5.1
    preempts_demoted=True,  # carp.md 5.1, BACKUP test 2
    advertises_recovery=True,  # carp.md 6.4: any change
    master_down_ns=rules.master_down_below_a_second,  # carp.md 5.2, sources up to 2020
    tolerated_ns=rules.tolerated_unless_below_a_second,  # carp.md 5.1
    bow_out=Claim(advbase=255, advskew=255, demote=255),  # carp.md 5.3
    farewell=Farewell.NONE,  # carp.md 5.3
    source_mac=ethernet.virtual_mac,  # carp.md 1.4
    ttl=TtlRule.ALWAYS,  # carp.md 7.2: with a carppeer as well
    destination=DestinationRule.KIND,  # carp.md 4.2: multicast or unicast, as its carppeer
    tos=ip.TOS_LOW_DELAY,  # carp.md 1.2
    identification=None,  # carp.md 1.2: random
    drops_own_source=False,  # carp.md 4.2: it recognises its own cookie instead
    vrrp3=False,  # carp.md section 9
    address_mac=AddressMac.VIRTUAL,  # carp.md section 7
    arp=ArpForm(own_target_mac=False, link_source=False, with_reply=False),  # carp.md section 7
    announce_again_after=2,  # carp.md 5.3: with the second subsequent advertisement
    reasserts=False,  # carp.md 5.1
    answers_weaker=False,  # the next advertisement does
    yield_grace_ns=0,  # its MASTERs do not wait
    takeover_listen_ns=0,  # its MASTERs do not wait
    defers_to_better_master=False,  # carp.md 5.1: it judges each advertisement alone
    announce_every_s=0,  # its MASTERs do not repeat it
    drops_at_start=True,  # a kernel starts without addresses; a process may have a predecessor that left some
    unknown_link_is_up=True,  # carp.md 5.3: only explicit DOWN is down
    needs_allow=False,  # carp.md 5.3, 13: it ignores advertisements
    send_errors=ErrorBudget(failures=3, successes=3, demotion=1, times_hosts=True),  # carp.md 6.4
    link_down_demotion=1,  # carp.md 6.4: its group, which is carp
)
"""OpenBSD's kernel."""
