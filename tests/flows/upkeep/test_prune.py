"""`textmill prune`: what goes, what stays and why, what is freed; nothing needed is lost."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows import cli
from flows.settings import read_settings
from flows.steps import tracking_settings
from model.registry import tracking
from model.registry.succession import champions
from pipeline.store.artifact import load_artifact
from pipeline.store.holds import Holds
from tests import small_world
from tests.small_world import SMALL, WORSE

MONTHS = 5
DAY = 86_400


@pytest.fixture
def copy(world, tmp_path, monkeypatch):
    """A copy of that store to prune; sources and recipe are in the current folder."""
    shutil.copytree(world / "store", tmp_path / "store")
    monkeypatch.chdir(world)
    monkeypatch.setenv("TEXTMILL_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "store"


@pytest.fixture
def prune(copy, capsys):
    def run(*arguments: str) -> dict:
        capsys.readouterr()
        assert cli.main(["prune", *arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def du(folder: Path) -> int:
    return 1024 * int(subprocess.check_output(["du", "-sk", str(folder)]).split()[0])


def artifacts(folder: Path) -> set[str]:
    made = (folder / "artifacts").glob("*/*/manifest.json")
    return {f"{path.parts[-3]}/{path.parts[-2]}" for path in made}


def names(pruned: dict, kept: bool = False) -> set[str]:
    return {item["name"] for item in pruned["items"] if bool(item["kept_by"]) == kept}


def test_a_dry_run_says_what_the_real_one_then_does_and_the_disk_agrees(copy, prune):
    before, used = artifacts(copy), du(copy / "artifacts")
    said = prune("--all", "--keep", "1", "--dry-run")
    assert artifacts(copy) == before
    assert du(copy / "artifacts") == used
    done = prune("--all", "--keep", "1")
    assert said["items"] == done["items"]
    assert names(done)
    assert artifacts(copy) == before - names(done)
    assert used - du(copy / "artifacts") == done["freed_bytes"] > 100_000
    assert prune("--all", "--keep", "1")["items"] == []


def test_what_runs_and_versions_need_stays_and_the_table_says_for_whom(copy, prune):
    kept = prune("--all", "--keep", "1")["kept"]
    reasons = set(kept.values())
    line = champions(tracking.connect(tracking_settings(read_settings())), "world")
    assert len(line) > 1
    assert f"run {MONTHS} of world" in reasons
    wanted = {
        f"world version {line[-1]}: @champion",
        f"world version {line[-2]}: the champion before",
    }
    assert wanted <= reasons
    others = {str(number) for number in range(1, MONTHS)} - {*line[-2:]}
    assert not [why for why in reasons for number in others if f"version {number}:" in why]
    assert {name.split("/")[1] for name in kept} == {
        "ingest", "clean", "dedup", "tokenizer", "shard", "train", "evaluate",
    }  # fmt: skip
    for name in kept:
        load_artifact(copy / name)


def test_every_version_still_serves_and_a_run_is_what_it_was(copy, prune, capsys):
    prune("--all", "--keep", "1")
    for version in range(1, MONTHS + 1):
        address = f"models:/world/{version}"
        assert cli.main(["generate", address, "The", "--max-tokens", "3", "--json"]) == 0
    capsys.readouterr()
    assert cli.main(["explain", "world.toml", *SMALL[2:], *WORSE, "--json"]) == 0
    stages = json.loads(capsys.readouterr().out)["stages"]
    assert {stage["decision"] for stage in stages} == {"reuse"}
    assert cli.main(["run", "world.toml", *SMALL, *WORSE, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["reused"]
    assert again["model"]["version"] == str(MONTHS)


def test_the_next_run_makes_what_it_would_have_made(world, copy, prune, capsys, tmp_path):
    prune("--all", "--keep", "1")
    shutil.copytree(world / "store", tmp_path / "unpruned")
    new = world / "texts" / "new.jsonl"
    small_world.write(new, small_world.english()[400:440])
    made = []
    for store in (copy, tmp_path / "unpruned"):
        capsys.readouterr()
        run = ("run", "world.toml", *SMALL, "--json", "--store", str(store))
        assert cli.main(run) == 0
        made.append(json.loads(capsys.readouterr().out))
    new.unlink()
    pruned, other = ({n: Path(p).name for n, p in run["artifacts"].items()} for run in made)
    assert pruned == other
    assert made[0]["model"] == made[1]["model"]


def test_a_version_deleted_in_mlflow_keeps_nothing(copy, prune):
    client = tracking.connect(tracking_settings(read_settings()))
    champion = client.get_registered_model("world").aliases["champion"]
    assert champions(client, "world")[-1] == str(champion) != str(MONTHS)
    client.delete_registered_model_alias("world", "champion")
    client.delete_model_version("world", champion)
    kept = prune("--all", "--keep", "1")["kept"].values()
    assert not [why for why in kept if f"version {champion}:" in why]


def test_one_recipe_is_pruned_alone(copy, prune):
    other = ("--set", "name=other", "--set", "register.model=other", "--set", "train.seed=7")
    assert cli.main(["run", "world.toml", *SMALL, *WORSE, *other]) == 0
    assert prune("other", "--keep", "1")["items"] == []
    assert names(prune("world", "--keep", "1", "--dry-run"))


@pytest.mark.parametrize("arguments", [(), ("world", "--all"), ("--all", "--keep", "0")])
def test_misuse_says_what_was_wanted(copy, capsys, arguments):
    assert cli.main(["prune", *arguments]) == cli.EXIT_MISUSED
    assert "wanted" in capsys.readouterr().err


def test_what_a_living_process_holds_stays(copy, prune):
    doomed = sorted(names(prune("--all", "--keep", "1", "--dry-run")))[0]
    holds = Holds()
    assert holds.take(copy / "artifacts" / doomed)
    assert names(prune("--all", "--keep", "1"), kept=True) == {doomed}
    assert doomed in artifacts(copy)
    holds.release()
    assert names(prune("--all", "--keep", "1")) == {doomed}
    assert not holds.take(copy / "artifacts" / doomed)


def test_bytes_of_a_file_with_two_names_are_freed_with_the_last(copy, prune):
    doomed = sorted(n for n in names(prune("--all", "--keep", "1", "--dry-run")) if "clean" in n)
    first, second = (copy / "artifacts" / name for name in doomed[:2])
    for folder in (first, second):
        (folder / "big").unlink(missing_ok=True)
    (first / "big").write_bytes(os.urandom(1 << 20))
    os.link(first / "big", second / "big")
    os.link(first / "big", copy.parent / "elsewhere")
    before = du(copy / "artifacts")
    kept = prune("--all", "--keep", "1", "--dry-run")["freed_bytes"]
    (copy.parent / "elsewhere").unlink()
    assert prune("--all", "--keep", "1", "--dry-run")["freed_bytes"] == kept + (1 << 20)
    assert prune("--all", "--keep", "1")["freed_bytes"] == kept + (1 << 20)
    assert before - du(copy / "artifacts") == kept + (1 << 20)


def age(path: Path, days: float) -> None:
    then = time.time() - days * DAY
    for entry in (path, *path.rglob("*")):
        os.utime(entry, (then, then))


def test_unfinished_work_is_given_up_when_nobody_has_touched_it_for_long(copy, prune):
    folder = copy / "artifacts" / "train"
    old, young, at_work = (folder / f".{c * 16}.{c * 16}.partial" for c in "abc")
    for path in (old, young, at_work):
        path.mkdir()
        (path / "checkpoint").write_bytes(b"x" * 5000)
    age(old, 15)
    age(at_work, 15)
    (copy / "runs" / ".page.tmp").touch()
    age(copy / "runs" / ".page.tmp", 15)
    program = (
        "import sys, fcntl; file = open(sys.argv[1], 'w'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print(flush=True); sys.stdin.read()"
    )
    lock = folder / f".{'c' * 16}.lock"
    with subprocess.Popen([sys.executable, "-c", program, str(lock)], stdin=-1, stdout=-1) as other:
        other.stdout.readline()
        pruned = prune("--all")
        other.kill()
    unfinished = {i["name"]: i["kept_by"] for i in pruned["items"] if "unfinished" in i["what"]}
    assert unfinished == {
        f"train/{old.name}": "", f"train/{at_work.name}": "a living process holds it",
        "runs/.page.tmp": "",
    }  # fmt: skip
    assert [path.exists() for path in (old, young, at_work)] == [False, True, True]
    assert f"train/{young.name}" in names(prune("--all", "--unfinished-days", "0"))


def test_damaged_artifacts_go_when_they_were_made_again(copy, prune):
    folder = copy / "artifacts" / "clean"
    whole = Path(next(n for n, why in prune("--all")["kept"].items() if "/clean/" in n)).name
    shutil.copytree(folder / whole, folder / f"{whole}.damaged-1")
    assert names(prune("--all")) == {f"clean/{whole}.damaged-1"}
    (folder / whole).rename(folder / f"{whole}.damaged-1")
    assert names(prune("--all")) == set()  # all there is of what the last run needs


def test_a_kill_in_between_leaves_no_half_that_looks_whole(copy, prune):
    doomed = names(prune("--all", "--keep", "1", "--dry-run"))
    program = (
        "import os, signal, sys, pipeline.store.removal as r, flows.cli as cli\n"
        "r.empty_trash = lambda root: os.kill(os.getpid(), signal.SIGKILL)\n"
        "cli.main(['prune', '--all', '--keep', '1'])"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)
    assert killed.returncode == -signal.SIGKILL
    for name in artifacts(copy):
        load_artifact(copy / "artifacts" / name)
    assert len(doomed & artifacts(copy)) == len(doomed) - 1
    half, *rest = prune("--all", "--keep", "1")["items"]
    assert half["what"] == "half removed"
    assert half["freed_bytes"] > 1000
    assert {item["name"] for item in rest} == doomed & {item["name"] for item in rest}
    assert not (copy / ".pruned").exists()


def test_runs_that_a_killed_process_left_in_mlflow_go_with_their_files(copy, prune):
    settings = tracking_settings(read_settings())
    client = tracking.connect(settings)
    experiment = tracking.experiment_id(client, settings)
    tags = {tracking.FINGERPRINT: "f" * 64}
    failed = client.create_run(experiment, run_name="failed", tags=tags)
    client.log_text(failed.info.run_id, "x" * 5000, "card.md")
    client.set_terminated(failed.info.run_id, "FAILED")
    at_work = client.create_run(experiment, run_name="at work", tags=tags)
    long_ago = int((time.time() - 15 * DAY) * 1000)
    killed = client.create_run(experiment, long_ago, tags, run_name="killed")
    registered = client.get_model_version("world", "1").run_id
    client.set_terminated(registered, "FAILED")  # as a kill between two steps leaves it
    gone = {i["name"]: i for i in prune("--all")["items"] if i["what"] == "MLflow run"}
    short = [f"{run.info.run_name} ({run.info.run_id[:8]})" for run in (killed, failed)]
    assert [*gone] == short
    assert gone[short[1]]["freed_bytes"] >= 5000
    assert not (settings.artifact_root / failed.info.run_id).exists()
    stages = {
        r.info.run_id: r.info.lifecycle_stage for r in client.search_runs([experiment], "", 3)
    }
    assert stages[failed.info.run_id] == stages[killed.info.run_id] == "deleted"
    assert stages[at_work.info.run_id] == stages[registered] == "active"


def test_machine_code_of_other_versions_goes_when_it_is_long_unused(copy, prune, tmp_path):
    cache = tmp_path / "cache"
    for name, days in (("numba-old", 15), ("numba-of-a-neighbour", 1), ("other", 15)):
        (cache / name).mkdir(parents=True)
        (cache / name / "loop.nbc").write_bytes(b"x" * 9000)
        age(cache / name, days)
    pruned = prune("--all")
    assert "numba-old" in names(pruned)
    assert {path.name for path in cache.iterdir()} >= {"numba-of-a-neighbour", "other"}
    assert not (cache / "numba-old").exists()


def test_a_store_that_is_not_there_is_empty(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["prune", "--all"]) == 0
    assert "0 of 0 leftovers" in capsys.readouterr().out
    assert not (tmp_path / "store").exists()
