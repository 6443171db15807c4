"""An actuator that changes nothing on the machine: for observers, tests and demonstrations."""

from pycarp.actuators.base import Actuator


class NullActuator(Actuator):
    """Reports success for every call and does nothing."""
