"""Health checks: they take a virtual host out of the election, or demote it, while what it serves does not work.

``await watch(host, Check(name="web", probe=tcp("127.0.0.1", 80), every_s=0.25))`` runs until it is cancelled.
"""

from pycarp.health.check import Answer, Check, CheckState
from pycarp.health.http import http
from pycarp.health.probes import file_exists, tcp
from pycarp.health.watching import watch

__all__ = ["Answer", "Check", "CheckState", "file_exists", "http", "tcp", "watch"]
