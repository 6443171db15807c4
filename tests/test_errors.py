"""Every exception that pycarp raises on purpose is in one tree, which the module of errors draws."""

import importlib
import pkgutil
import textwrap
from collections.abc import Iterator

import pycarp
from pycarp import errors
from tests.support.trees import edges_of


def below(kind: type[Exception]) -> Iterator[type[Exception]]:
    """Yield every class of pycarp below one; tests have some of their own."""
    for each in kind.__subclasses__():
        if each.__module__.startswith("pycarp."):
            yield each
        yield from below(each)


def test_the_tree_has_every_error_of_every_module() -> None:
    for module in pkgutil.walk_packages(pycarp.__path__, "pycarp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert errors.__doc__ is not None
    tree = errors.__doc__.partition("::\n\n")[2].partition("\n\n")[0]
    found = {(base.__name__, each.__name__) for each in below(errors.CarpError) for base in each.__bases__}

    assert edges_of(textwrap.dedent(tree)) == {("", "CarpError"), *found}
