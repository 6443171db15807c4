"""Times of the past as people write them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from pycarp.cli.past_time import parse_past_time
from pycarp.errors import UsageError

ZONE = timezone(timedelta(hours=2))
NOW = datetime(2026, 3, 5, 14, 30, tzinfo=ZONE)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("5m ago", datetime(2026, 3, 5, 14, 25, tzinfo=ZONE)),
        ("1h30m", datetime(2026, 3, 5, 13, 0, tzinfo=ZONE)),
        ("90s ago", datetime(2026, 3, 5, 14, 28, 30, tzinfo=ZONE)),
        ("14:29:59", datetime(2026, 3, 5, 14, 29, 59, tzinfo=ZONE)),
        ("14:29:59.250", datetime(2026, 3, 5, 14, 29, 59, 250000, tzinfo=ZONE)),
        ("02:14", datetime(2026, 3, 5, 2, 14, tzinfo=ZONE)),
        ("23:00", datetime(2026, 3, 4, 23, 0, tzinfo=ZONE)),
        ("2026-03-04T02:14:07", datetime(2026, 3, 4, 2, 14, 7, tzinfo=ZONE)),
        (" 2026-03-04 02:14 ", datetime(2026, 3, 4, 2, 14, tzinfo=ZONE)),
        ("2026-03-05T12:00:00Z", datetime(2026, 3, 5, 12, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_understood(text: str, at: datetime) -> None:
    assert parse_past_time(text, NOW) == at


@pytest.mark.parametrize(
    "text", ["", "ago", "tomorrow", "25:00", "2026-13-01", "12", "90 ago", "-5m ago", "5 parsecs ago"]
)
def test_what_is_no_time_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(UsageError, match="is no time: write 5m ago, a time of day as in 02:14:07"):
        parse_past_time(text, NOW)


def test_what_is_still_to_come_is_refused_with_what_time_it_is() -> None:
    with pytest.raises(UsageError, match="is still to come: it is 2026-03-05 14:30:00 now"):
        parse_past_time("2026-03-05T14:30:01", NOW)
