"""What is expected of an artifact, what was found, and the verdict: plain data with sentences."""

import math
import shlex
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.errors import ConfigError

CRITICAL = "critical"
WARNING = "warning"
SEVERITIES = (CRITICAL, WARNING)
# Bounds are inclusive; these make "better than" of "at least", far below any real difference.
ABOVE_ZERO = 1e-9
BELOW_ONE = 0.999999
FAMILY = ".*"  # ends the name of an expectation about every figure that starts like this


@dataclass(frozen=True)
class Expect:
    """Bounds for one figure, why they are there, and what to do when they are crossed.

    `metric` may end in '.*': every figure with that prefix, none being fine. Bounds are inclusive;
    at least one is given. Raises ConfigError for bounds or a severity that cannot be used.
    """

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    severity: str = CRITICAL  # 'critical' stops what comes after, 'warning' is only shown
    because: str = ""
    next_step: str = ""

    def __post_init__(self) -> None:
        if self.severity not in SEVERITIES:
            raise ConfigError(
                f"{self.metric}: severity {self.severity!r}, wanted one of {', '.join(SEVERITIES)}"
            )
        for name in ("at_least", "at_most"):
            object.__setattr__(self, name, _bound(self.metric, name, getattr(self, name)))
        if self.at_least is None and self.at_most is None:
            raise ConfigError(f"{self.metric}: no bound; give at_least, at_most or both")
        if None not in (self.at_least, self.at_most) and self.at_least > self.at_most:  # type: ignore[operator]  # neither is None
            raise ConfigError(
                f"{self.metric}: at_least {self.at_least:g} is above at_most {self.at_most:g}; "
                f"no figure can meet both, change one of them"
            )

    @property
    def prefix(self) -> str | None:
        """What names of the family start with, dot included; None for a single figure."""
        return self.metric[: -len(FAMILY) + 1] if self.metric.endswith(FAMILY) else None

    def wanted(self) -> str:
        """The bounds in words, such as '>= 0.1 and <= 1'."""
        bounds = []
        if self.at_least is not None:
            above = self.at_least == ABOVE_ZERO
            bounds.append("> 0" if above else f">= {self.at_least:g}")
        if self.at_most is not None:
            below = self.at_most == BELOW_ONE
            bounds.append("< 1" if below else f"<= {self.at_most:g}")
        return " and ".join(bounds)


def _bound(metric: str, name: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ConfigError(f"{metric}: {name} is {value!r}, wanted a finite number or none")
    return float(value)


@dataclass(frozen=True)
class Outcome:
    """One expectation held against one figure; `observed` is None where there was no figure."""

    expect: Expect
    metric: str
    observed: float | None
    passed: bool

    @property
    def bounds(self) -> str:
        """What was wanted, in signs that Markdown does not take for a quotation."""
        return self.expect.wanted().replace(">=", "≥").replace("<=", "≤")

    def sentence(self) -> str:
        """What, found, wanted, why, next step."""
        observed = "missing" if self.observed is None else f"{self.observed:.6g}"
        words = f"{self.metric} is {observed}, wanted {self.expect.wanted()}"
        words += f", because {self.expect.because}" if self.expect.because else ""
        return words + (f"; {self.expect.next_step}" if self.expect.next_step else "")


@dataclass(frozen=True)
class Verdict:
    """Everything a gate found out about one artifact.

    `metrics` holds finite figures only; `result` is Great Expectations' own account of them, less
    its ids and times.
    """

    stage: str
    fingerprint: str
    contract: str
    outcomes: tuple[Outcome, ...]
    metrics: dict[str, float]
    result: dict[str, Any]

    @property
    def passed(self) -> bool:
        """Tell whether every expectation was met, warnings included."""
        return not self.failures

    @property
    def word(self) -> str:
        """Say it in one word: 'passed', 'warning' or 'failed' (which stops the run)."""
        if self.critical_failures:
            return "failed"
        return "warning" if self.failures else "passed"

    @property
    def failures(self) -> tuple[Outcome, ...]:
        """Outcomes that were not met."""
        return tuple(outcome for outcome in self.outcomes if not outcome.passed)

    @property
    def critical_failures(self) -> tuple[Outcome, ...]:
        """Those of them that stop the run."""
        return tuple(o for o in self.failures if o.expect.severity == CRITICAL)

    def message(self) -> str:
        """The verdict for people: a line in all, a line per failure, and how to overrule it."""
        where = f"gate after {self.stage} (artifact {self.fingerprint[:16]})"
        if self.passed:
            return f"{where}: all {len(self.outcomes)} expectations met"
        critical = self.critical_failures
        lines = [f"{where}: {len(self.failures)} of {len(self.outcomes)} expectations not met"]
        lines += [f"  {o.expect.severity}: {o.sentence()}" for o in self.failures]
        if critical:
            keys = dict.fromkeys(f"{self.stage}.{o.expect.metric}" for o in critical)
            settings = [f"--set {shlex.quote(f'gates.{key}.severity=warning')}" for key in keys]
            tables = ", ".join(f'[gates."{key}"]' for key in keys)
            lines.append(
                f"  nothing after {self.stage} was started; to go on all the same: "
                f"{' '.join(settings)} (in a recipe {tables})"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return the form stored beside the artifact; `passed` and counts are there to be read."""
        return {
            "stage": self.stage,
            "fingerprint": self.fingerprint,
            "contract": self.contract,
            "passed": self.passed,
            "critical_failures": len(self.critical_failures),
            "outcomes": [asdict(outcome) for outcome in self.outcomes],
            "metrics": self.metrics,
            "result": self.result,
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Verdict":
        """Read the stored form; raise KeyError or TypeError for anything else."""
        outcomes = tuple(
            Outcome(Expect(**o["expect"]), o["metric"], o["observed"], o["passed"])
            for o in value["outcomes"]
        )
        names = ("stage", "fingerprint", "contract", "metrics", "result")
        return cls(outcomes=outcomes, **{name: value[name] for name in names})
