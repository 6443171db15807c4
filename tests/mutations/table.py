"""The mutations: which file, what stands there, and what is put in its place."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """One way to break pycarp; ``path`` is below ``src/pycarp``, ``before`` stands there exactly once.

    ``suite`` are the tests that are to notice it, where it breaks what the simulator does not have.
    """

    name: str
    path: str
    before: str
    after: str
    suite: tuple[str, ...] = ()


MUTATIONS = (
    Mutation(
        "the tie rule is turned round",
        "dialects/rules.py",
        "return tie.their_source.packed[::-1] > tie.our_source.packed[::-1]",
        "return tie.their_source.packed[::-1] < tie.our_source.packed[::-1]",
    ),
    Mutation(
        "the master-down time forgets the skew",
        "dialects/rules.py",
        "return advbase * dead_ratio * NS_PER_S + advskew * NS_PER_SKEW",
        "return advbase * dead_ratio * NS_PER_S",
    ),
    Mutation(
        "reports of former epochs count",
        "core/host/master.py",
        "    elif event.epoch == ctx.epoch and event.action is Action.HOLD:",
        "    elif event.action is Action.HOLD:",
    ),
    Mutation(
        "timers expire before packets are read",
        "runtime/runtime.py",
        "            has_unread = self._reads_on(self._read(READ_BEFORE_EXPIRY))\n",
        "            has_unread = False\n",
    ),
    Mutation(
        "addresses are not dropped on leaving",
        "core/host/transitions.py",
        "        ctx.drop()\n    publish_change(ctx, old, reason, peer=peer)",
        "        if not isinstance(state, Init):\n            ctx.drop()\n    publish_change(ctx, old, reason, peer=peer)",
    ),
    Mutation(
        "the counter echoes what was heard",
        "auth/counter.py",
        "        self._last = (self._last + 1) & _MASK\n        return self._last",
        "        return self._last",
    ),
    Mutation(
        "the bow-out comes before the drop",
        "core/host/transitions.py",
        "    enter(ctx, state, reason)\n\n\ndef leave_unless_ready",
        "    ctx.bow_out()\n    enter(ctx, state, reason)\n\n\ndef leave_unless_ready",
    ),
    Mutation(
        "a host that is backup only preempts",
        "core/host/backup.py",
        "    if ctx.environment.goes_last or ctx.is_backup_only:\n        return None\n    # Before",
        "    if ctx.environment.goes_last:\n        return None\n    # Before",
    ),
    Mutation(
        "nobody preempts",
        "core/host/backup.py",
        "    if verdict is Verdict.STRONGER and preempts:",
        "    if verdict is None and preempts:",
    ),
    Mutation(
        "the weaker preempts",
        "core/host/backup.py",
        "    if verdict is Verdict.STRONGER and preempts:",
        "    if verdict is Verdict.WEAKER and preempts:",
    ),
    Mutation(
        "a MASTER never yields",
        "core/host/master.py",
        "    if verdict is Verdict.WEAKER:\n        return _yield",
        "    if verdict is None:\n        return _yield",
    ),
    Mutation(
        "an advertisement does not put the deadline off",
        "core/host/backup.py",
        "    state.master_down_at_ns[event.family] = ctx.now_ns + master_down_ns(ctx, event.claim)\n",
        "    pass\n",
    ),
    Mutation(
        "a living MASTER is given no time to drop",
        "dialects/universal.py",
        "yield_grace_ns=10_000_000",
        "yield_grace_ns=1",
    ),
    Mutation(
        "several heirs do not listen before they hold",
        "dialects/universal.py",
        "takeover_listen_ns=3_000_000",
        "takeover_listen_ns=0",
    ),
    Mutation(
        "a BACKUP relieves the loser of a contest",
        "dialects/universal.py",
        "defers_to_better_master=True",
        "defers_to_better_master=False",
    ),
    Mutation(
        "a link that is up again demotes for ever",
        "core/engine.py",
        '        self._demote(None, f"interface {link} is down", amount, now_ns, out)',
        '        if amount:\n            self._demote(None, f"interface {link} is down", amount, now_ns, out)',
    ),
    Mutation(
        "addresses are announced before they are held",
        "core/host/context.py",
        "        self.out.append(HoldAddresses(self.key, self.epoch, self.config.addresses, self.previous, force, lease))\n",
        "        self.out.append(HoldAddresses(self.key, self.epoch, self.config.addresses, self.previous, force, lease))\n        self.announce()\n",
    ),
    Mutation(
        "the guardian waits longer than peers do",
        "core/lease_timings.py",
        "        timeout_ns = lifetime_s * NS_PER_S - KERNEL_ROUNDS_NS\n",
        "        timeout_ns = 3 * lifetime_s * NS_PER_S\n",
    ),
    Mutation(
        "the kernel lets addresses live longer than peers wait",
        "core/lease_timings.py",
        "    lifetime_s = (fastest_ns - KERNEL_ROUNDS_NS) // NS_PER_S\n",
        "    lifetime_s = 3 * fastest_ns // NS_PER_S\n",
    ),
    Mutation(
        "a MASTER that stood still does not yield",
        "core/host/transitions.py",
        "    return ctx.now_ns - state.alive_at_ns >= ctx.lease.timeout_ns",
        "    return False",
    ),
    Mutation(
        "every digest is accepted",
        "core/advertisement_codec.py",
        "        if self._signer.verify(advert.counter, advert.digest):\n            return True\n",
        "        return True\n",
    ),
    Mutation(
        "a MASTER does not plan its next advertisement",
        "core/host/master.py",
        "    state.advertise_at_ns = next_ns if slot_before(next_ns, ctx.slot_ns) > now_ns else ctx.due_after(now_ns)\n",
        "",
    ),
    Mutation(
        "a MASTER that cannot send renews its addresses",
        "runtime/runtime.py",
        "            effects = [each for each in effects if each.key not in failed]\n",
        "",
    ),
    Mutation(
        "a failed send is not reported",
        "runtime/runtime.py",
        "if error is not None or (key, family) in self._wants_report",
        "if (key, family) in self._wants_report",
    ),
    Mutation(
        "addresses are not renewed",
        "runtime/runtime.py",
        "        self._ports.renew(effects)\n",
        "",
    ),
    Mutation(
        "the guardian hears of no sign of life",
        "runtime/runtime.py",
        "        self._ports.renew_guardian([each.key for each in effects if each.key in self._guarded])\n",
        "",
    ),
    Mutation(
        "the guardian is never disarmed",
        "runtime/runtime.py",
        "            self._ports.disarm_guardian(report.key)\n",
        "",
    ),
    Mutation(
        "the guardian is disarmed by the drop of a former epoch",
        "runtime/runtime.py",
        "elif report.action is Action.DROP and guarded.epoch < report.epoch:",
        "elif report.action is Action.DROP:",
    ),
    Mutation(
        "a timer that was set too late stays",
        "runtime/runtime.py",
        "        elif armed_ns is None or at_ns < armed_ns or at_ns - armed_ns > WORTH_ARMING_NS:\n",
        "        elif armed_ns is None or at_ns - armed_ns > WORTH_ARMING_NS:\n",
    ),
    Mutation(
        "a timer that fires too early is not set anew",
        "runtime/runtime.py",
        "        elif self._armed_ns is None:\n            self._arm()\n",
        "",
    ),
    Mutation(
        "a pause between attempts never ends",
        "runtime/runtime.py",
        "            case RetryAt(at_ns):\n                self._due.set(key, at_ns)\n",
        "",
    ),
    Mutation(
        "a failed attempt counts as achieved",
        "runtime/reconciler.py",
        "            self._retry.begin(now_ns, self._pace.retry_max_ns)\n",
        "            self._retry.begin(now_ns, self._pace.retry_max_ns)\n            self._succeed(effect)\n",
    ),
    Mutation(
        "an attempt that hangs is never given up",
        "runtime/reconciler.py",
        "        run.until_ns = now_ns + self._timeout_ns(effect)\n",
        "        run.until_ns = 1 << 62\n",
    ),
    Mutation(
        "a drop waits behind a hold that hangs",
        "runtime/reconciler.py",
        "            return isinstance(effect, HoldAddresses) and isinstance(intent, DropAddresses)\n",
        "            return False\n",
    ),
    Mutation(
        "a hold after a drop that was never made counts as done",
        "runtime/reconciler.py",
        "no hold is done already.\n            self._achieved = None\n",
        "no hold is done already.\n",
    ),
    Mutation(
        "what others changed is not put right",
        "runtime/reconciler.py",
        "            self._achieved = None\n            self._is_disturbed = True\n",
        "",
    ),
    Mutation(
        "an attempt is reported under the epoch of now",
        "runtime/reconciler.py",
        "return (ActuationReported(self._key, effect.epoch, action_of(effect), error),)",
        "return (ActuationReported(self._key, self._intent.epoch if self._intent else 0, action_of(effect), error),)",
    ),
    Mutation(
        "a cancelled hold is taken for one that changed nothing",
        "runtime/reconciler.py",
        "        if not isinstance(effect, Announce):\n            self._achieved = None\n            self._is_disturbed = False\n",
        "        if not isinstance(effect, Announce):\n            self._is_disturbed = False\n",
    ),
    Mutation(
        "what a hold did that could not be cancelled stays",
        "runtime/reconciler.py",
        "        self._is_disturbed = self._is_undone = True\n",
        "",
    ),
    Mutation(
        "announcements of former epochs are made",
        "runtime/reconciler.py",
        "        if effect is None or effect.epoch != intent.epoch or not",
        "        if effect is None or not",
    ),
    Mutation(
        "a transition is not told",
        "core/host/transitions.py",
        "    ctx.publish(ctx.last_change)\n",
        "",
    ),
    Mutation(
        "a drop that failed counts as done",
        "core/host/init.py",
        "    if event.epoch != state.leaving_epoch:\n        return\n",
        "",
    ),
    Mutation(
        "any second packet of a MASTER is its farewell",
        "core/host/master.py",
        "    if event.claim.is_bow_out or event.reply is Reply.FAREWELL:\n",
        "    if event.claim.is_bow_out or event.reply is Reply.FAREWELL or event.source in state.takeover.awaited:\n",
    ),
    Mutation(
        "the loser of a tie does not wait for the answer",
        "core/host/takeover.py",
        "    (Stage.LISTENING, Heard.EQUAL_LOSES): Outcome(Stage.TIED, False, Decision.TIE_OPEN),\n",
        "    (Stage.LISTENING, Heard.EQUAL_LOSES): Outcome(Stage.LISTENING, False, Decision.TIE_OPEN),\n",
    ),
    Mutation(
        "a MASTER that cannot hold its addresses stays MASTER",
        "core/host/master.py",
        "            leave(ctx, Reason.NOT_HELD)\n",
        "            pass\n",
    ),
    Mutation(
        "the watch of the addresses spins",
        "actuators/address_watch.py",
        "            self._doubt.clear()\n",
        "",
        ("tests/actuators/test_again.py",),
    ),
    Mutation(
        "our own setting down is taken for an administrator's wish",
        "actuators/address_watch.py",
        " and not device.is_expected(is_up=head.is_up)",
        "",
        ("tests/actuators/test_address_watch.py",),
    ),
    Mutation(
        "a host that was removed is remembered",
        "actuators/netlink_actuator.py",
        "                    self._prepared_hosts.pop(key, None)\n",
        "                    pass\n",
        ("tests/actuators/test_again.py",),
    ),
    Mutation(
        "a device that could not be deleted is forgotten",
        "system/addresses/shared_device.py",
        "            self.index = index\n            raise\n",
        "            raise\n",
        ("tests/actuators/test_again.py",),
    ),
    Mutation(
        "a link that vanishes ends the list of all",
        "system/addresses/interfaces.py",
        "    except ValueError:\n",
        "    except KeyError:\n",
        ("tests/system/test_refusals.py",),
    ),
    Mutation(
        "sockets stay open when a group cannot be joined",
        "transports/sockets.py",
        "        except OSError:\n            port.close()\n            raise\n",
        "        except OSError:\n            raise\n",
        ("tests/transports/test_refusals.py",),
    ),
    Mutation(
        "a packet filter that was refused is kept",
        "transports/sockets.py",
        "                    port.set_packet_filter(opened.packet_filter)\n",
        "                    pass\n",
        ("tests/transports/test_sockets.py",),
    ),
    Mutation(
        "a monitor without a socket spins",
        "monitors/netlink_monitor.py",
        "            await asyncio.sleep(RETRY_S)\n",
        "",
        ("tests/monitors",),
    ),
    Mutation(
        "the demonstration shows wrong times",
        "cli/demo.py",
        "return self._loop.time() - self._began_s",
        "return self._loop.time() + self._began_s + 1",
        ("tests/cli/test_demo.py",),
    ),
    Mutation(
        "netstat counts the reasons of one link only",
        "cli/netstat.py",
        "drops[name] = drops.get(name, 0) + count",
        "drops[name] = count",
        ("tests/cli/test_netstat.py",),
    ),
    Mutation(
        "the lab says too early that everything runs",
        "cli/lab.py",
        "    Trial(where, machines, click.echo, lambda _since_s: 0).reach_usual_states()\n",
        "",
        ("tests/interop/test_lab.py",),
    ),
    Mutation(
        "a full disk is a traceback",
        "__main__.py",
        "        if not (is_closed or exc.errno in _NOT_WRITTEN) or exc.filename is not None:\n            raise\n",
        "        raise\n",
        ("tests/cli/test_output.py",),
    ),
)
