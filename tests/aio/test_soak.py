"""Some virtual hours of takeovers, restarts, cuts and changes leave nothing behind; benchmarks/soak.py has the days."""

from benchmarks.soak import virtual


def test_nothing_grows_over_hours_of_takeovers() -> None:
    soak = virtual(seconds=1, every_s=25)

    assert soak.takeovers >= 240
    assert soak.after.tasks == soak.before.tasks
    assert soak.after.descriptors == soak.before.descriptors
    assert soak.after.objects - soak.before.objects < 100
    assert soak.after.blocks - soak.before.blocks < 1500
