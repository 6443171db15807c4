"""The page on dialects is true: its dialect waits longer, as its test shows."""

from pycarp import dialects
from tests.support.pages import DOCS, block, names_of
from tests.support.virtual import in_virtual_time

PAGE = DOCS / "howto" / "write-a-dialect.md"


@in_virtual_time
async def test_the_dialect_of_the_page_waits_three_times_the_skew() -> None:
    openbsd_2025 = names_of(block(PAGE, "a dialect"))["OPENBSD_2025"]
    takeover_s = names_of(block(PAGE, "the test"))["takeover_s"]

    longer_s = await takeover_s(openbsd_2025) - await takeover_s(dialects.OPENBSD)

    assert longer_s > 0.5
