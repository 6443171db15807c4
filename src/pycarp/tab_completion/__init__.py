"""Answers the Tab key: what may follow the words of a ``pycarp`` command line.

It is asked at every key press, so it imports neither click nor anything else of pycarp: the commands and their options
are in ``commands.json``, which ``pycarp.cli.completion_index`` makes of the commands themselves, and a test compares.
"""
