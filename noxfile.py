"""Sessions for developers; ``.ci/run`` runs the same checks without nox."""

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
