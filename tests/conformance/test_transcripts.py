"""Every scenario has the result in its transcript; ``pytest --update-transcripts`` records the transcripts again."""

from pathlib import Path

import pytest

from tests.support.scenarios import SCENARIOS, played, title_of


@pytest.mark.parametrize("path", SCENARIOS, ids=title_of)
def test_the_scenario_comes_out_as_recorded(path: Path, request: pytest.FixtureRequest) -> None:
    text = played(path).text
    if request.config.getoption("--update-transcripts"):
        path.write_text(text)

    assert text == path.read_text()


@pytest.mark.parametrize("path", SCENARIOS, ids=title_of)
def test_the_scenario_says_what_it_is_about(path: Path) -> None:
    assert path.read_text().startswith("# ")
