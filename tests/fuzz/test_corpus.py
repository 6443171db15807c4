"""Every seed and every input that once crashed a target, again; needs no atheris."""

from pathlib import Path

import pytest

from tests.fuzz.__main__ import CORPUS
from tests.fuzz.targets import TARGETS

SEEDS = sorted(file for file in CORPUS.rglob("*") if file.is_file())


@pytest.mark.parametrize("file", SEEDS, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_a_target_bears_its_corpus(file: Path) -> None:
    TARGETS[file.parent.name](file.read_bytes())


def test_every_target_has_seeds() -> None:
    assert {file.parent.name for file in SEEDS} == set(TARGETS)
