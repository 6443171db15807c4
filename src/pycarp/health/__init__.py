"""Health checks: they take a virtual host out of the election, or demote it, while what it serves does not work.

``await watch(host, Check(name="web", probe=tcp("127.0.0.1", 80), every_s=0.25))`` runs until it is cancelled.
``check_of({"name": "web", "tcp": "127.0.0.1:80", "every": "250ms"})`` returns the same check.
"""

from pycarp.health.health_check import Answer, Check, CheckState, Finding, Probe, Request
from pycarp.health.http import http
from pycarp.health.link_probes import interface, route
from pycarp.health.looking import look
from pycarp.health.ping import ping
from pycarp.health.probes import file_exists, tcp
from pycarp.health.processes import process, systemd
from pycarp.health.program_probe import program
from pycarp.health.resolution import dns
from pycarp.health.table import check_of, check_schema, probe_of
from pycarp.health.watching import watch
from pycarp.health.witnesses import witness

__all__ = [
    "Answer",
    "Check",
    "CheckState",
    "Finding",
    "Probe",
    "Request",
    "check_of",
    "check_schema",
    "dns",
    "file_exists",
    "http",
    "interface",
    "look",
    "ping",
    "probe_of",
    "process",
    "program",
    "route",
    "systemd",
    "tcp",
    "watch",
    "witness",
]
