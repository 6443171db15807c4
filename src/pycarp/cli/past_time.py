"""Times of the past as people write them: ``5m ago``, ``02:14:07``, ``2026-01-02 02:14``."""

from datetime import datetime, timedelta

from pycarp.durations import parse_duration
from pycarp.errors import ConfigError, UsageError

FORM = "5m ago, a time of day as in 02:14:07, or a date and time as in 2026-01-02T02:14:07"

_MOST_S = 10 * 365 * 86400
_DAY = timedelta(days=1)


def parse_past_time(text: str, now: datetime) -> datetime:
    """Return the time that a text says; one without a zone is in that of ``now``.

    A time of day that is still to come today is that of yesterday. Raises UsageError for what is no time, and for one
    that is still to come.
    """
    said = text.strip()
    found = _ago(said, now) or _of_day(said, now) or _iso(said, now)
    if found is None:
        raise UsageError(f"{text!r} is no time: write {FORM}")
    if found > now:
        raise UsageError(f"{text!r} is still to come: it is {now:%Y-%m-%d %H:%M:%S} now")
    return found


def _ago(text: str, now: datetime) -> datetime | None:
    words = text.removesuffix("ago").strip()
    try:
        return now - timedelta(seconds=parse_duration(words, name="time", least_s=0, most_s=_MOST_S))
    except ConfigError:
        return None


def _of_day(text: str, now: datetime) -> datetime | None:
    for form in ("%H:%M:%S.%f", "%H:%M:%S", "%H:%M"):
        try:
            of_day = datetime.strptime(text, form).time()
        except ValueError:
            continue
        at = datetime.combine(now.date(), of_day, now.tzinfo)
        return at if at <= now else at - _DAY
    return None


def _iso(text: str, now: datetime) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at.replace(tzinfo=now.tzinfo) if at.tzinfo is None else at.astimezone(now.tzinfo)
