"""The gate after a stage: figures in, verdict out. The only module that knows Great Expectations.

It gets one row of figures, never the corpus, and is imported only when a verdict has to be made;
a verdict that was written beside the artifact is recalled without it.
"""

import contextlib
import logging
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from expectations.expect import Expect, Outcome, Verdict
from expectations.profile import profile
from expectations.suites import Overrides, suite
from pipeline.errors import ArtifactError, GateError
from pipeline.store import storage
from pipeline.store.artifact import Artifact, check_seal, sealed
from pipeline.store.fingerprint import code_version
from pipeline.store.loading import reading

PROFILE_MODULE = "expectations.profile"
KEY = "key"  # in a verdict file: hash of what the verdict depends on

Checks = list[tuple[Expect, str]]  # an expectation and the figure it is held against


def check(
    artifact: Artifact,
    overrides: Overrides | None = None,
    metrics: Mapping[str, float | None] | None = None,
) -> Verdict:
    """Hold the artifact against its stage's suite; `metrics` replaces its own profile.

    A figure that is missing, None or not finite fails every expectation about it. Raises
    ConfigError for overrides that name nothing.
    """
    expects = suite(artifact.stage, overrides or {})
    given = profile(artifact) if metrics is None else metrics
    names = list(given)
    figures = {name: float(v) for name, v in given.items() if v is not None and math.isfinite(v)}
    checks = _expand(expects, names)
    result = _validate(artifact.stage, checks, figures)
    met = {entry["index"]: entry["success"] for entry in result["results"]}
    outcomes = tuple(
        Outcome(expect, name, figures.get(name), name in figures and met.get(index) is True)
        for index, (expect, name) in enumerate(checks)
    )
    return Verdict(
        artifact.stage, artifact.fingerprint, artifact.contract, outcomes, figures, result
    )


def verdict_path(artifact: Artifact) -> Path:
    """Return where an artifact's verdict is kept: beside its folder, which never changes."""
    return artifact.path.with_name(f"{artifact.path.name}.gate.json")


def write_verdict(verdict: Verdict, path: Path) -> None:
    """Write a verdict whole, the same bytes for the same verdict, with the key for `recall`."""
    checks = [(outcome.expect, outcome.metric) for outcome in verdict.outcomes]
    stored = {KEY: _key(verdict.fingerprint, checks), **verdict.to_json()}
    storage.write_json(path, sealed(stored))


def recall(artifact: Artifact, overrides: Overrides | None = None) -> Verdict | None:
    """Return the verdict stored for this artifact, suite and profile code, else None."""
    expects = suite(artifact.stage, overrides or {})
    path = verdict_path(artifact)
    try:
        stored = storage.read_json(path, dict[str, Any])
        check_seal(path, stored)
        with reading(path, "a verdict as gates write it"):
            verdict = Verdict.from_json(stored)
            names = [outcome.metric for outcome in verdict.outcomes]
            key = _key(artifact.fingerprint, _expand(expects, [*verdict.metrics, *names]))
            return verdict if stored[KEY] == key else None
    except FileNotFoundError:
        return None
    except ArtifactError as error:  # cut short or of another layout
        logging.getLogger(__name__).warning("%s: judged again", error)
        return None


def stored(artifact: Artifact) -> Verdict | None:
    """Return the verdict that was last stored for this artifact, under whatever bounds; or None."""
    path = verdict_path(artifact)
    value = storage.recall_json(path, dict[str, Any])
    if value is None:
        return None
    with reading(path, "a verdict as gates write it"):
        return Verdict.from_json(value)


def enforce(verdict: Verdict) -> None:
    """Raise GateError, in the verdict's own words, if a critical expectation failed."""
    if verdict.critical_failures:
        raise GateError(verdict.message())


def _expand(expects: Sequence[Expect], names: Sequence[str]) -> Checks:
    """Pair every expectation with its figure, a family with each of its figures in their order."""
    checks: Checks = []
    for expect in expects:
        if expect.prefix is None:
            checks.append((expect, expect.metric))
        else:
            members = sorted({name for name in names if name.startswith(expect.prefix)})
            checks += [(expect, name) for name in members]
    return checks


def _key(fingerprint: str, checks: Checks) -> str:
    wanted = [[name, asdict(expect)] for expect, name in checks]
    inputs = {"artifact": fingerprint, "checks": wanted, "code": code_version(PROFILE_MODULE)}
    return storage.sha256_text(storage.canonical_json(inputs))


def _validate(stage: str, checks: Checks, figures: Mapping[str, float]) -> dict[str, Any]:
    """Let Great Expectations judge one row of figures; a figure that is not there is NaN."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _quiet():
        import great_expectations as gx
        from great_expectations.data_context.types.base import (
            DataContextConfig,
            InMemoryStoreBackendDefaults,
        )

        # Given a configuration of its own, a context leaves no docs folder in the temporary one.
        config = DataContextConfig(store_backend_defaults=InMemoryStoreBackendDefaults())
        context = gx.get_context(mode="ephemeral", project_config=config)
        context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]  # as documented
        batch = context.data_sources.pandas_default.read_dataframe(_one_row(checks, figures))
        wanted = [_expectation(index, *each) for index, each in enumerate(checks)]
        validation = batch.validate(
            gx.ExpectationSuite(name=stage, expectations=wanted), result_format="BASIC"
        )
        return _figures_only(validation.to_json_dict())


def _one_row(checks: Checks, figures: Mapping[str, float]) -> Any:
    import pandas as pd

    row = {name: figures.get(name, math.nan) for _, name in checks}
    return pd.DataFrame([row], dtype="float64")


def build_data_docs(verdicts: Sequence[Verdict], folder: Path) -> Path:
    """Build Great Expectations' own pages below `folder`; return their index.

    Only on request: these pages load styles and scripts from outside, unlike a run's report.
    """
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    with _quiet():
        import great_expectations as gx

        context = gx.get_context(mode="file", project_root_dir=folder)
        context.variables.progress_bars = {"globally": False}  # type: ignore[assignment]
        source = context.data_sources.add_or_update_pandas("textmill")
        for verdict in verdicts:
            checks = [(outcome.expect, outcome.metric) for outcome in verdict.outcomes]
            wanted = [_expectation(index, *each) for index, each in enumerate(checks)]
            expected = gx.ExpectationSuite(name=verdict.stage, expectations=wanted)
            batch = source.add_dataframe_asset(verdict.stage).add_batch_definition_whole_dataframe(
                "figures"
            )
            definition = gx.ValidationDefinition(
                name=verdict.stage, data=batch, suite=context.suites.add_or_update(expected)
            )
            context.validation_definitions.add_or_update(definition).run(
                batch_parameters={"dataframe": _one_row(checks, verdict.metrics)}
            )
        [index] = context.build_data_docs().values()
    return Path(index.removeprefix("file://"))


def _expectation(index: int, expect: Expect, name: str) -> Any:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.metadata_types import FailureSeverity

    bounded = (
        gxe.ExpectColumnMaxToBeBetween
        if expect.at_least is None
        else gxe.ExpectColumnMinToBeBetween
    )
    return bounded(
        column=name,
        min_value=expect.at_least,
        max_value=expect.at_most,
        severity=FailureSeverity(expect.severity),
        meta={"index": index},
    )


def _figures_only(details: dict[str, Any]) -> dict[str, Any]:
    """Keep what Great Expectations found, in our order; ids, times and tracebacks go."""
    results = [
        {
            "index": entry["expectation_config"]["meta"]["index"],
            "success": entry["success"],
            "type": entry["expectation_config"]["type"],
            "severity": entry["expectation_config"]["severity"],
            "kwargs": {
                name: value
                for name, value in entry["expectation_config"]["kwargs"].items()
                if name != "batch_id"
            },
            "result": entry["result"],
            "exception": entry["exception_info"].get("exception_message"),
        }
        for entry in details["results"]
    ]
    return {
        "success": details["success"],
        "results": sorted(results, key=lambda entry: entry["index"]),
        "statistics": details["statistics"],
        "great_expectations_version": details["meta"]["great_expectations_version"],
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations from writing to the log and from warning while it works."""
    logger = logging.getLogger("great_expectations")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
