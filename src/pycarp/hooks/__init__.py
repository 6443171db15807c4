"""Hooks: programs and functions that are called when the state of a virtual host changes.

``await follow(host, Hook(name="say", on={On.MASTER}, run=("/usr/local/bin/say",)))`` runs until it is cancelled, or the
host departs.
"""

from pycarp.hooks.hook import Hook, On, OnFailure
from pycarp.hooks.hook_follower import follow

__all__ = ["Hook", "On", "OnFailure", "follow"]
