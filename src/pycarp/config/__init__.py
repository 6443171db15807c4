"""Layer 8: text to settings. Every grammar reports all problems of a file at once, each with its place."""

from pycarp.config.model import NodeConfig
from pycarp.config.problems import ConfigProblems, Problem

__all__ = ["ConfigProblems", "NodeConfig", "Problem"]
