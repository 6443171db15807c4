"""The services that accompany the virtual hosts of a daemon; ``service`` has the protocol."""

from pycarp.daemon.services.failback import FailbackService
from pycarp.daemon.services.groups import GroupService
from pycarp.daemon.services.health import HealthService
from pycarp.daemon.services.hooks import HookService
from pycarp.daemon.services.maintenance import Maintenance
from pycarp.daemon.services.service import Service, Services

__all__ = ["FailbackService", "GroupService", "HealthService", "HookService", "Maintenance", "Service", "Services"]
