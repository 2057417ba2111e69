"""Stages: reuse, resume, ledger, contracts, damage."""

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline.engine.local import LocalEngine
from pipeline.errors import ArtifactError, ConfigError, ContractError, LedgerError
from pipeline.schema import Contract, column
from pipeline.stage import Stage, run_stage
from pipeline.store import storage
from pipeline.store.artifact import artifact_exists, load_artifact, sealed

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = Contract("numbers", 1, pa.schema([column("n", pa.int64(), "a number")]))


@dataclass(frozen=True)
class CountConfig:
    parts: int = 4
    rows: int = 10
    lose: int = 0
    fail_at: int | None = None


def count_part(config, task, sink):
    if config.fail_at == task:
        raise RuntimeError("disk full")
    sink.saw(config.rows)
    values = [task * config.rows + i for i in range(config.rows)][config.lose :]
    odd = [n for n in values if n % 2]
    sink.write("main", pa.table({"n": [n for n in values if n % 2 == 0]}))
    reject = {"id": [str(n) for n in odd], "source": ["test"] * len(odd),
              "rule": ["odd"] * len(odd),
              "value": [float(n) for n in odd], "threshold": [0.0] * len(odd),
              "partner": pa.nulls(len(odd)), "similarity": pa.nulls(len(odd))}  # fmt: skip
    sink.write("rejects", pa.table(reject))
    return task


def count(job):
    results = job.map(functools.partial(count_part, job.config), list(range(job.config.parts)))
    job.stats["tasks"] = [result.value for result in results]
    job.file("note.txt").write_text("a note")


COUNT = Stage("count", NUMBERS, count, "pipeline.store.ledger", ("pyarrow",))


def digest(folder: Path) -> dict[str, str]:
    files = [f for f in sorted(folder.rglob("*")) if f.is_file() and f.name != "timing.json"]
    return {str(f.relative_to(folder)): storage.sha256_of(f) for f in files}


def test_a_stage_writes_what_its_manifest_says(tmp_path):
    run = run_stage(COUNT, CountConfig(), [], tmp_path / "a")
    assert not run.reused
    assert run.artifact.ledger.to_json() == {
        "in": 40, "kept": 20, "dropped": {"odd": 20}, "quarantined": {}, "changed": {},
    }  # fmt: skip
    assert run.artifact.scan().collect()["n"].to_list() == list(range(0, 40, 2))
    assert run.artifact.file("note.txt").read_text() == "a note"
    load_artifact(tmp_path / "a", contract="numbers", checksums=True)
    listed = {entry["path"] for entry in run.artifact.entries()}
    assert set(digest(tmp_path / "a")) == listed | {"manifest.json"}


def test_a_small_table_is_read_as_dicts_over_all_its_parts(tmp_path):
    made = run_stage(COUNT, CountConfig(), [], tmp_path / "a").artifact
    assert len(made.parts()) > 1
    assert made.rows_of() == [{"n": n} for n in range(0, 40, 2)]
    assert [row["id"] for row in made.rows_of("rejects")] == [str(n) for n in range(1, 40, 2)]
    assert made.rows_of("figures") == []


def test_any_number_of_workers_gives_the_same_bytes(tmp_path):
    one = run_stage(COUNT, CountConfig(), [], tmp_path / "one").artifact
    two = run_stage(COUNT, CountConfig(), [], tmp_path / "two", engine=LocalEngine(2)).artifact
    assert digest(one.path) == digest(two.path)
    assert multiprocessing.active_children() == []  # workers end with the stage


def test_the_same_inputs_are_reused_and_other_inputs_refused(tmp_path):
    run_stage(COUNT, CountConfig(), [], tmp_path / "a")
    again = run_stage(COUNT, CountConfig(), [], tmp_path / "a")
    assert again.reused
    assert again.reason == "reused: same fingerprint"
    with pytest.raises(ConfigError, match="other inputs or settings"):
        run_stage(COUNT, CountConfig(rows=11), [], tmp_path / "a")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError, match="not a textmill artifact"):
        run_stage(COUNT, CountConfig(), [], tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_a_lost_row_stops_the_stage_and_leaves_no_artifact(tmp_path):
    with pytest.raises(LedgerError, match="40 rows in"):
        run_stage(COUNT, CountConfig(lose=1), [], tmp_path / "a")
    assert not artifact_exists(tmp_path / "a")


def test_a_row_outside_the_contract_is_refused_by_name(tmp_path):
    def bad(job):
        job.map(lambda task, sink: sink.write("main", pa.table({"m": [1]})), [0])

    with pytest.raises(ContractError, match=r"columns missing \['n'\], unknown \['m'\]"):
        run_stage(
            Stage("bad", NUMBERS, bad, "pipeline.store.ledger", ()),
            CountConfig(),
            [],
            tmp_path / "a",
        )


def test_work_goes_on_from_finished_parts_after_an_error(tmp_path):
    whole = run_stage(COUNT, CountConfig(), [], tmp_path / "whole").artifact

    def failing(job):
        broken = functools.partial(count_part, CountConfig(fail_at=2))
        job.map(broken, list(range(job.config.parts)))

    flaky = Stage("count", NUMBERS, failing, "pipeline.store.ledger", ("pyarrow",))
    with pytest.raises(RuntimeError, match="disk full"):
        run_stage(flaky, CountConfig(), [], tmp_path / "a")
    seen = []
    run = run_stage(COUNT, CountConfig(), [], tmp_path / "a", progress=lambda *a: seen.append(a))
    assert seen[0] == ("count", 2, 4)  # two parts were there already
    assert "went on" in run.reason
    assert digest(run.artifact.path) == digest(whole.path)


@pytest.mark.parametrize("harm", ["missing", "short", "altered"])
def test_damage_is_found_named_and_made_again(tmp_path, harm):
    artifact = run_stage(COUNT, CountConfig(), [], tmp_path / "a").artifact
    before, part = digest(artifact.path), artifact.parts()[1]
    data = part.read_bytes()
    if harm == "missing":
        part.unlink()
    else:
        part.write_bytes(data[:-7] if harm == "short" else data[:-7] + b"damaged")
    with pytest.raises(ArtifactError, match=part.name):
        load_artifact(tmp_path / "a", checksums=True)
    run = run_stage(COUNT, CountConfig(), [], tmp_path / "a")
    assert "made again" in run.reason
    assert part.name in run.reason
    assert digest(run.artifact.path) == before
    assert (tmp_path / "a.damaged-1" / "manifest.json").exists()


def test_a_manifest_cannot_point_outside_its_folder(tmp_path):
    artifact = run_stage(COUNT, CountConfig(), [], tmp_path / "a").artifact
    manifest = artifact.manifest
    manifest["files"][0]["path"] = "../../etc/passwd"
    storage.write_json(tmp_path / "a" / "manifest.json", sealed(manifest))
    with pytest.raises(ConfigError, match="leaves the folder"):
        load_artifact(tmp_path / "a")


def test_a_killed_run_ends_with_the_same_bytes(tmp_path):
    whole = run_stage(COUNT, CountConfig(parts=6), [], tmp_path / "whole").artifact
    program = textwrap.dedent(f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        import functools, test_stage as t
        from pipeline.stage import run_stage, Stage
        def slow_part(config, task, sink):
            if task == 3:
                print("now", flush=True); time.sleep(60)
            return t.count_part(config, task, sink)
        def slow(job):
            job.map(functools.partial(slow_part, job.config), list(range(6)))
        stage = Stage("count", t.NUMBERS, slow, "pipeline.store.ledger", ("pyarrow",))
        from pathlib import Path
        run_stage(stage, t.CountConfig(parts=6), [], Path({str(tmp_path / "a")!r}))
    """)
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"now\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not artifact_exists(tmp_path / "a")
    run = run_stage(COUNT, CountConfig(parts=6), [], tmp_path / "a")
    assert "went on" in run.reason
    assert digest(run.artifact.path) == digest(whole.path)


def test_an_artifact_says_what_is_wrong_with_a_folder(tmp_path):
    with pytest.raises(ArtifactError, match="nothing is there"):
        load_artifact(tmp_path / "none")
    with pytest.raises(ArtifactError, match=r"no manifest\.json"):
        load_artifact(tmp_path)
    run_stage(COUNT, CountConfig(), [], tmp_path / "a")
    with pytest.raises(ArtifactError, match="wanted 'clean'"):
        load_artifact(tmp_path / "a", contract="clean")
    (tmp_path / "a" / "manifest.json").write_text("{half")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load_artifact(tmp_path / "a")


def test_the_type_checker_refuses_a_stage_the_settings_of_another(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            from pathlib import Path
            from pipeline.clean import CleanConfig
            from pipeline.ingest import STAGE, IngestConfig
            from pipeline.stage import Job, run_stage

            def run(job: Job[IngestConfig]) -> None:
                reveal_type(job.config)

            run_stage(STAGE, IngestConfig(), [], Path("a"))
            run_stage(STAGE, CleanConfig(), [], Path("b"))
            STAGE.fingerprint(CleanConfig(), [])
        """)
    )
    checker = subprocess.run(
        [sys.executable, "-m", "mypy", "--no-error-summary", str(program)],  # the project's options
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    told = [line.removeprefix(f"{program}:") for line in checker.stdout.splitlines()]
    refused = [line.split(": ")[0] for line in told if ": error: " in line]
    assert [line for line in told if "IngestConfig" in line and "note" in line]
    assert refused == ["11", "12"], checker.stdout
