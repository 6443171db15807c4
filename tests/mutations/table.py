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
        "core/machine.py",
        "elif event.epoch == self.epoch and event.action is Action.HOLD:",
        "elif event.action is Action.HOLD:",
    ),
    Mutation(
        "timers expire before packets are read",
        "aio/driver.py",
        "        self._read(READ_BEFORE_EXPIRY)\n",
        "",
    ),
    Mutation(
        "addresses are not dropped on leaving",
        "core/machine.py",
        "        elif not leave_alone:\n            out.append(DropAddresses",
        "        elif not leave_alone and not isinstance(self._phase, Init):\n            out.append(DropAddresses",
    ),
    Mutation(
        "the counter echoes what was heard",
        "auth/counter.py",
        "        self._last = (self._last + 1) & _MASK\n        return self._last",
        "        return self._last",
    ),
    Mutation(
        "the bow-out comes before the drop",
        "core/machine.py",
        "        self._enter(phase, reason, now_ns, out)\n\n    # INIT",
        "        self._transmit(_BOW_OUT_CLAIM, now_ns, out)\n        self._enter(phase, reason, now_ns, out)\n\n    # INIT",
    ),
    Mutation(
        "nobody preempts",
        "core/machine.py",
        "elif preempts and dialect.compare(self.claim, event.claim) is Verdict.STRONGER:",
        "elif preempts and dialect.compare(self.claim, event.claim) is None:",
    ),
    Mutation(
        "the weaker preempts",
        "core/machine.py",
        "elif preempts and dialect.compare(self.claim, event.claim) is Verdict.STRONGER:",
        "elif preempts and dialect.compare(self.claim, event.claim) is Verdict.WEAKER:",
    ),
    Mutation(
        "a MASTER never yields",
        "core/machine.py",
        "if verdict is Verdict.STRONGER or (verdict is Verdict.TIE and self._keeps_on_tie(event, now_ns)):",
        "if verdict is not None:",
    ),
    Mutation(
        "an advertisement does not put the deadline off",
        "core/machine.py",
        "            self._phase.master_down_at_ns[event.family] = now_ns + self._master_down_ns\n            self._follow",
        "            self._follow",
    ),
    Mutation(
        "a living MASTER is given no time to drop",
        "dialects/universal.py",
        "courtesy_ns=20_000_000",
        "courtesy_ns=0",
    ),
    Mutation(
        "several heirs do not listen before they hold",
        "dialects/universal.py",
        "contention_ns=3_000_000",
        "contention_ns=0",
    ),
    Mutation(
        "a BACKUP relieves the loser of a contest",
        "dialects/universal.py",
        "heeds_better=True",
        "heeds_better=False",
    ),
    Mutation(
        "a link that is up again demotes for ever",
        "core/engine.py",
        '        self._demote(None, f"interface {link} is down", amount, now_ns, out)',
        '        if amount:\n            self._demote(None, f"interface {link} is down", amount, now_ns, out)',
    ),
    Mutation(
        "addresses are announced before they are held",
        "core/machine.py",
        "        out.append(HoldAddresses(self.key, self.epoch, self.config.shared, self._former, anew, precaution))\n",
        "        out.append(HoldAddresses(self.key, self.epoch, self.config.shared, self._former, anew, precaution))\n"
        "        self._announce(now_ns, out)\n",
    ),
    Mutation(
        "the guardian waits longer than peers do",
        "core/precaution.py",
        "        patience_ns = lifetime_s * NS_PER_S - KERNEL_ROUNDS_NS\n",
        "        patience_ns = 3 * lifetime_s * NS_PER_S\n",
    ),
    Mutation(
        "the kernel lets addresses live longer than peers wait",
        "core/precaution.py",
        "    lifetime_s = (fastest_ns - KERNEL_ROUNDS_NS) // NS_PER_S\n",
        "    lifetime_s = 3 * fastest_ns // NS_PER_S\n",
    ),
    Mutation(
        "a MASTER that stood still does not yield",
        "core/machine.py",
        "return now_ns - self._phase.alive_at_ns >= self._precaution.patience_ns",
        "return False",
    ),
    Mutation(
        "every digest is accepted",
        "core/speaker.py",
        "        if self._signer.verify(advert.counter, advert.digest):\n            return True\n",
        "        return True\n",
    ),
    Mutation(
        "a MASTER does not plan its next advertisement",
        "core/machine.py",
        "        self._phase.advertise_at_ns = due_ns + interval_ns if due_ns + interval_ns > now_ns else now_ns + interval_ns\n",
        "",
    ),
    Mutation(
        "a MASTER that cannot send goes on prolonging",
        "aio/driver.py",
        "                self._silent.add(voice)\n",
        "                pass\n",
    ),
    Mutation(
        "a transition is not told",
        "core/machine.py",
        "        out.append(Publish(self.last_change))\n",
        "        if reason is not Reason.MASTER_LEFT:\n            out.append(Publish(self.last_change))\n",
    ),
    Mutation(
        "a drop that failed counts as done",
        "core/machine.py",
        "        if event.epoch != self._phase.leaving_epoch:\n            return\n",
        "",
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
        " and not device.is_expected(is_up=state.is_up)",
        "",
        ("tests/actuators/test_address_watch.py",),
    ),
    Mutation(
        "a host that was removed is remembered",
        "actuators/netlink.py",
        "                    self._adoptions.pop(key, None)\n",
        "                    pass\n",
        ("tests/actuators/test_again.py",),
    ),
    Mutation(
        "a device that could not be deleted is forgotten",
        "system/shared_device.py",
        "            self.index = index\n            raise\n",
        "            raise\n",
        ("tests/actuators/test_again.py",),
    ),
    Mutation(
        "a link that vanishes ends the list of all",
        "system/interfaces.py",
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
        "a screen that was refused is kept",
        "transports/sockets.py",
        "                    port.screen(opened.screen)\n",
        "                    pass\n",
        ("tests/transports/test_sockets.py",),
    ),
    Mutation(
        "a monitor without a socket spins",
        "monitors/netlink.py",
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
        "    Story(where, machines, click.echo).reach_usual_states()\n",
        "",
        ("tests/interop/test_lab.py",),
    ),
    Mutation(
        "a full disk is a traceback",
        "__main__.py",
        "        if exc.errno not in _NOT_WRITTEN or exc.filename is not None:\n            raise\n",
        "        raise\n",
        ("tests/cli/test_output.py",),
    ),
)
