"""Wrong usage in pycarp's one style: the mistake, what may stand there, what was meant, and where the help is."""

import re
from typing import IO, Any

import click

from pycarp.spelling import meant

_GUESSES = re.compile(r" *\(?Did you mean (?:one of: )?(.*?)\?\)?$")
_CHOICES = re.compile(r"'([^']*)' is not one of (.*)$")
_WORDS = (
    ("is not a valid integer range", "is no whole number"),
    ("is not a valid integer", "is no whole number"),
    ("is not a valid float range", "is no number"),
    ("is not a valid float", "is no number"),
)
_FOR = re.compile(r"^Invalid value(?: for ('[^']*'|[^:]*))?: ")


class WrongUsage(click.UsageError):
    """A mistake in the words of a command line; the exit status is 2, as of every UsageError."""

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it to standard error, with the command whose help explains it."""
        click.echo(f"pycarp: {in_our_words(self.format_message())}", file=file, err=True)
        if self.ctx is not None:
            click.echo(f"see: {self.ctx.command_path} --help", file=file, err=True)


def restyled(error: click.UsageError) -> click.UsageError:
    """Return an error of click in our style; what shows the help of a group without a sub-command stays as it is."""
    if type(error).__name__ == "NoArgsIsHelpError":
        # Older versions of click have no such class.
        return error
    return WrongUsage(error.format_message(), error.ctx)


def in_our_words(message: str) -> str:
    """Return a message of click as one sentence, with a guess if it names the choices."""
    message, guesses = _without_guesses(message.rstrip("."))
    if (found := _CHOICES.search(message)) and (close := meant(found[1], re.findall(r"[\w./-]+", found[2]))):
        guesses = [f"'{close}'"]
    for theirs, ours in _WORDS:
        message = message.replace(theirs, ours)
    message = _FOR.sub(lambda at: f"{at[1].strip(chr(39))}: " if at[1] else "", message).rstrip(".")
    sentence = message[:1].lower() + message[1:] if message[1:2].islower() else message
    return f"{sentence}; did you mean {' or '.join(guesses)}?" if guesses else sentence


def _without_guesses(message: str) -> tuple[str, list[str]]:
    found = _GUESSES.search(message)
    if found is None:
        return message, []
    return message[: found.start()].rstrip("."), found[1].split(", ")
