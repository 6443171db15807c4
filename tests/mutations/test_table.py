"""The mutations still fit what they break; who notices them is told by ``python -m tests.mutations``."""

from pathlib import Path

import pytest

import pycarp
from tests.mutations.table import MUTATIONS, Mutation

SOURCE = Path(pycarp.__file__).parent


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_breaks_stands_there_once(mutation: Mutation) -> None:
    assert (SOURCE / mutation.path).read_text().count(mutation.before) == 1
