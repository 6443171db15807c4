"""What is built for others: the wheel and the source have all that belongs there, and the wheel runs by itself."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    argv = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def of_the_package() -> set[str]:
    return {
        str(each.relative_to(SOURCE))
        for each in SOURCE.rglob("*")
        if each.is_file() and "__pycache__" not in each.parts and ".egg-info" not in str(each)
    }


def test_the_wheel_has_every_file_of_the_package_and_no_other(built: Path) -> None:
    (wheel,) = built.glob("*.whl")

    with zipfile.ZipFile(wheel) as opened:
        names = {each for each in opened.namelist() if ".dist-info/" not in each}

    assert wheel.name.endswith("-py3-none-any.whl")
    assert names == of_the_package()


def test_the_wheel_runs_where_nothing_else_of_the_project_is(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*words: str) -> str:
        argv = [sys.executable, "-P", "-W", "error", *words]
        done = subprocess.run(argv, cwd="/", env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run("-c", "import pycarp, pytest_pycarp; print(pycarp.__file__, pytest_pycarp.__file__)")
    assert where.split() == [str(tmp_path / "pycarp" / "__init__.py"), str(tmp_path / "pytest_pycarp" / "__init__.py")]
    assert run("-m", "pycarp", "convert", "--schema").startswith("{")


def test_the_source_has_what_the_wheel_is_made_of_and_what_tests_it(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")

    with tarfile.open(source) as opened:
        names = {each.partition("/")[2] for each in opened.getnames()}

    assert {f"src/{each}" for each in of_the_package()} <= names
    assert {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "noxfile.py", "debian/control"} <= names
    assert {"tests/conftest.py", "docs/howto/run.md", "packaging/Containerfile", "requirements-dev.txt"} <= names


def test_the_version_of_debian_s_changelog_is_that_of_the_package() -> None:
    (version,) = re.findall(r'^__version__ = "(.+)"', (SOURCE / "pycarp" / "__init__.py").read_text(), re.MULTILINE)

    assert (ROOT / "debian/changelog").read_text().startswith(f"pycarp ({version})")


def test_the_unit_of_the_debian_package_is_that_of_service_install_but_for_its_paths() -> None:
    argv = [sys.executable, "packaging/debian_unit.py", "--systemd", "252"]
    unit = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert unit.startswith("[Unit]\nDocumentation=man:pycarp(1)\nConditionPathExists=/etc/pycarp/carp.toml\n")
    assert "\nExecStart=/usr/bin/pycarp run /etc/pycarp/carp.toml --control /run/pycarp/pycarp.sock\n" in unit
    lines = (ROOT / "docs/examples/pycarp.service").read_text().splitlines()
    assert {each for each in lines if "pycarp/bin" not in each and not each.startswith(("#", "Type="))} <= set(
        unit.splitlines()
    )
