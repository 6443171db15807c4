"""Sessions for developers; ``.ci/run`` runs the same checks without nox."""

from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests"]
PYTHONS = ["3.11", "3.12", "3.13"]


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the layers that import-linter guards."""
    session.install("-e", ".[daemon,test,lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    session.install("-e", ".[daemon,test,lint]", "nox")
    session.run("mypy")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation site, in docs/_build; what does not fit, a broken link for one, is an error."""
    session.install("-e", ".[daemon,test,docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """The documentation site, and every page of it in a browser, as on a phone; needs Debian's chromium."""
    session.install("-e", ".[daemon,test,docs,browser]")
    session.run("sphinx-build", "-W", "--keep-going", "-q", "-b", "html", "docs", "docs/_build")
    session.run("python", "docs/sphinx/check_site.py", "docs/_build")


@nox.session
def tutorials(session: nox.Session) -> None:
    """README, the guide and the tutorials, typed on machines in namespaces: needs root and what .ci/run installs."""
    session.install("-e", ".[daemon,test]")
    session.run("python", "packaging/type_tutorial.py", *session.posargs)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """The suite that needs neither root nor programs; `nox -s tests -- -k name` for some of it."""
    session.install("-e", ".[daemon,test]")
    session.run("pytest", "-m", "not system", *session.posargs)


@nox.session
def interop(session: nox.Session) -> None:
    """Real packets in network namespaces, with ucarp, tcpdump, tshark and chromium: needs root and these programs."""
    session.install("-e", ".[daemon,test,browser]")
    session.run("pytest", "-m", "system", *session.posargs, env={"PYCARP_REQUIRE_SYSTEM": "1"})


@nox.session(python="3.11")
def fuzz(session: nox.Session) -> None:
    """Octets that nobody thought of, for a minute; `nox -s fuzz -- all --seconds 36000 --found FOLDER` for a night."""
    session.install("-e", ".[daemon,test,fuzz]")
    session.run("python", "-m", "tests.fuzz", *(session.posargs or ["all", "--seconds", "60"]))


@nox.session
def bench(session: nox.Session) -> None:
    """What pycarp costs beside keepalived, ucarp and scapy, as root; `nox -s bench -- quick` in under three minutes."""
    session.install("-e", ".[daemon,test]")
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=PYTHONS)
def distributions(session: nox.Session) -> None:
    """The wheel and the source, each installed alone in a clean environment, and from wheels only: no compiler."""
    session.install("build")
    folder = Path(session.create_tmp()).resolve()
    session.run("python", "-m", "build", "-q", "-o", str(folder), ".")
    for built in sorted([*folder.glob("*.whl"), *folder.glob("*.tar.gz")]):
        clean = folder / f"clean-{built.suffix[1:]}"
        session.run("python", "-m", "venv", "--clear", str(clean))
        binary = ["--only-binary", ":all:", "--no-binary", "pycarp", f"pycarp[daemon,http,dns,top] @ {built.as_uri()}"]
        session.run(str(clean / "bin" / "pip"), "install", "-q", *binary, external=True)
        for words in (["--version"], ["convert", "--schema"]):
            session.run(str(clean / "bin" / "pycarp"), *words, external=True, silent=True)


@nox.session
def lock(session: nox.Session) -> None:
    """Write requirements-dev.txt anew, with the newest releases: `nox -s lock -- --upgrade`."""
    session.install("pip-tools")
    extras = "--extra=daemon,http,dns,simulate,top,test,lint"
    options = ["--strip-extras", "--generate-hashes", "--allow-unsafe", "--no-emit-index-url", "--no-emit-find-links"]
    session.run("pip-compile", "-q", *options, extras, "-o", "requirements-dev.txt", "pyproject.toml", *session.posargs)


@nox.session
def sbom(session: nox.Session) -> None:
    """Write sbom.json, a CycloneDX bill of what runs where pycarp is installed."""
    session.install("cyclonedx-bom")
    clean = Path(session.create_tmp()) / "installed"
    session.run("python", "-m", "venv", "--clear", "--without-pip", str(clean))
    session.run("python", "-m", "pip", "--python", str(clean), "install", "-q", ".[daemon,http,dns,top]")
    session.run("cyclonedx-py", "environment", str(clean), "--pyproject", "pyproject.toml", "-o", "sbom.json")


@nox.session(venv_backend="none")
def debian(session: nox.Session) -> None:
    """The Debian package, built and tried on a fresh Debian in a folder: needs root, debootstrap and dh-virtualenv."""
    session.run("packaging/build-deb.sh", "packaging/dist", external=True)
    (package,) = Path("packaging/dist").glob("*.deb")
    session.run("packaging/test-deb.sh", str(package), *session.posargs, external=True)
