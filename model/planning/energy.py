"""Energy as the machine tells it: RAPL counters of processors and memory below Linux's powercap.

A counter is of the whole machine, whoever used it, begins again at its range (minutes to hours of
work), and is readable by root alone unless somebody allowed others. Graphics cards are not in it.
"""

import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")
ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")  # AMD's processors, too; `-mmio` counts the same again
PACKAGE, MEMORY = "package", "dram"  # a processor with its cores; what is beside it
ZONES_MAX = 64
LOOK_SECONDS = 60.0  # a counter of 262 kJ, the usual range, lasts minutes at the most
COUNTER_CHARACTERS = 32


@dataclass
class Counter:
    """One zone's counter in microjoules, and what it has counted since it was opened."""

    folder: Path
    range_microjoules: int
    last: int
    counted: int = 0

    def look(self) -> None:
        """Add what was counted since the last look; at most one turn of the counter is seen."""
        now = _number(self.folder / "energy_uj")
        self.counted += (now - self.last) % (self.range_microjoules + 1)
        self.last = now


class EnergyMeter:
    """Counts from when it is made until `stop`; without a readable counter it counts nothing."""

    def __init__(self, folder: Path = POWERCAP, every_seconds: float = LOOK_SECONDS):
        self._counters = _counters(folder)
        self._began = time.perf_counter()
        self._ended = threading.Event()
        if self._counters:
            looking = threading.Thread(target=self._look_on, args=(every_seconds,), daemon=True)
            looking.start()

    def stop(self) -> tuple[float, float] | None:
        """Return joules and the seconds over which they were counted, or None."""
        self._ended.set()
        if not self._counters:
            return None
        try:
            self._look()
        except (OSError, ValueError):  # taken away meanwhile
            return None
        joules = sum(counter.counted for counter in self._counters) / 1e6
        return joules, time.perf_counter() - self._began

    def _look_on(self, every_seconds: float) -> None:
        while not self._ended.wait(every_seconds):
            try:
                self._look()
            except (OSError, ValueError):
                return  # `stop` finds the same

    def _look(self) -> None:
        with _LOOKING:
            for counter in self._counters:
                counter.look()


_LOOKING = threading.Lock()


def _counters(folder: Path) -> list[Counter]:
    """Return the counters of processors and of the memory beside them; [] if one cannot be read."""
    try:
        zones = sorted(p for p in folder.iterdir() if ZONE.fullmatch(p.name))[:ZONES_MAX]
        return [
            Counter(zone, _number(zone / "max_energy_range_uj"), _number(zone / "energy_uj"))
            for zone in zones
            if (zone / "name").read_text("ascii").startswith((PACKAGE, MEMORY))
        ]
    except (OSError, ValueError):
        return []


def _number(path: Path) -> int:
    with path.open(encoding="ascii") as file:
        return int(file.read(COUNTER_CHARACTERS))
