"""Energy is read from counters as Linux lays them out, or is not known."""

import pytest

from model.planning.energy import EnergyMeter

RANGE = 262_143_328_850


@pytest.fixture
def powercap(tmp_path):
    """A folder like /sys/class/powercap of a machine with two processors; links, as there."""
    linked, devices = tmp_path / "class", tmp_path / "devices" / "intel-rapl"
    linked.mkdir()
    zones = {
        "intel-rapl:0": "package-0", "intel-rapl:0:0": "core", "intel-rapl:0:1": "dram",
        "intel-rapl:1": "package-1", "intel-rapl:2": "psys", "intel-rapl-mmio:0": "package-0",
    }  # fmt: skip
    for zone, name in zones.items():
        folder = devices / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text("1000000\n")
        (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (linked / zone).symlink_to(folder)
    (linked / "intel-rapl").mkdir()  # the control type itself
    return linked


def count(powercap, zone: str, microjoules: int) -> None:
    (powercap / zone / "energy_uj").write_text(f"{microjoules}\n")


def test_processors_and_their_memory_are_counted_once(powercap):
    meter = EnergyMeter(powercap, every_seconds=3600)
    count(powercap, "intel-rapl:0", 6_000_000)
    count(powercap, "intel-rapl:0:0", 5_000_000)  # in the processor's
    count(powercap, "intel-rapl:0:1", 1_500_000)
    count(powercap, "intel-rapl:1", 3_000_000)
    count(powercap, "intel-rapl:2", 99_000_000)  # all of it again
    count(powercap, "intel-rapl-mmio:0", 6_000_000)
    joules, seconds = meter.stop()
    assert joules == 5 + 0.5 + 2
    assert seconds > 0


def test_a_counter_that_began_again_is_followed(powercap):
    count(powercap, "intel-rapl:0", RANGE - 999_999)
    meter = EnergyMeter(powercap, every_seconds=3600)
    count(powercap, "intel-rapl:0", 2_000_000)
    joules, _ = meter.stop()
    assert joules == 3.0


@pytest.mark.parametrize("fault", ["none", "unreadable", "odd"])
def test_what_the_machine_does_not_tell_is_not_known(powercap, fault):
    counter = powercap / "intel-rapl:0" / "energy_uj"
    if fault == "unreadable":
        counter.unlink()  # as for who may not read it: root reads everything
    elif fault == "odd":
        counter.write_text("<not counted>\n")
    folder = powercap / "nothing-here" if fault == "none" else powercap
    assert EnergyMeter(folder).stop() is None


def test_a_counter_that_goes_away_is_not_known(powercap):
    meter = EnergyMeter(powercap, every_seconds=3600)
    (powercap / "intel-rapl:1" / "energy_uj").unlink()
    assert meter.stop() is None
