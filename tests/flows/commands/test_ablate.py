"""`textmill ablate`: arms that differ in what is in them, held-out text that no arm has read."""

import contextlib
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flows import cli
from flows.ablation.worth import worths
from flows.settings import read_settings
from flows.steps import tracking_settings
from model.registry import tracking
from model.registry.metric_names import metric_name
from pipeline.shard import splits
from tests import small_world

TINY = (
    "train.steps=20", "train.validate_every=20", "train.log_every=10", "train.model.width=24",
    "train.model.heads=1", "train.model.kv_heads=1", "train.model.hidden=48",
    "train.model.context=32", "train.batch_size=8", "evaluate.documents_max=40",
    "shard.validation_share=0.2",
)  # fmt: skip
ARMS = ("as the recipe is", "all-rules", "near-duplicates", "source:zh")
NEAR = 25  # copies of documents with one word changed at their end


def noise(number: int) -> str:
    return " ".join("# ... ###" if word % 3 else f"word{number * word}" for word in range(80))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Two languages, near-copies that dedup removes, and documents that a rule drops."""
    folder = tmp_path_factory.mktemp("ablate")
    (folder / "world.toml").write_text(
        small_world.RECIPE.replace('path = "texts"', 'path = "texts/en.jsonl"')
        + '\n[[sources]]\npath = "texts/zh.jsonl"\n'
    )
    english = small_world.english()[:150]
    copies = [f"{text} So it was said once more." for text in english[:NEAR]]
    small_world.write(
        folder / "texts" / "en.jsonl", [*english, *copies, *map(noise, range(40, 70))]
    )
    small_world.write(folder / "texts" / "zh.jsonl", small_world.chinese())
    return folder


def ablate(world, capsys, *more):
    words = ["ablate", str(world / "world.toml"), "--store", str(world / "store"), "--seeds", "2",
             "--workers", "1", "--json"]  # fmt: skip
    for setting in TINY:
        words += ["--set", setting]
    code = cli.main([*words, *more])
    out = capsys.readouterr()
    assert code == 0, out.err
    return json.loads(out.out), out.err


@pytest.fixture(scope="module")
def ablated(world):
    """Return what the command gave and the folder."""
    out, chosen = io.StringIO(), []
    for arm in ARMS[1:]:
        chosen += ["--arm", arm]
    words = ["ablate", str(world / "world.toml"), "--store", str(world / "store"), "--seeds", "2",
             "--workers", "1", "--json", *chosen]  # fmt: skip
    for setting in TINY:
        words += ["--set", setting]
    with contextlib.redirect_stdout(out):
        assert cli.main(words) == 0
    return json.loads(out.getvalue()), world / "store"


def rows_of(store):
    """Return the rows of every sample, by the names of its training documents."""
    samples = []
    for manifest in sorted((store / "artifacts" / "equal_sample").glob("*/manifest.json")):
        tables = [
            pq.read_table(manifest.parent / part["path"])
            for part in json.loads(manifest.read_text())["tables"]["main"]
        ]
        rows = [row for table in tables for row in table.to_pylist()]
        samples.append((json.loads(manifest.read_text()), rows))
    return samples


def test_every_arm_has_as_much_to_learn_from_and_is_asked_the_same(ablated):
    result, store = ablated
    assert [arm["arm"] for arm in result["arms"]] == list(ARMS)
    least = min(arm["tokens_there_were"] for arm in result["arms"])
    assert all(least <= arm["tokens"] <= 1.05 * least for arm in result["arms"])
    held_out = [
        sorted((row["id"], row["bytes"]) for row in rows if row["split"] == "validation")
        for _, rows in rows_of(store)
    ]
    assert len(held_out) == len(ARMS)
    assert all(own == held_out[0] != [] for own in held_out)


def test_no_arm_trains_on_a_copy_of_what_is_held_out(ablated):
    """Of a held-out document with a near-copy, neither side's copy is in any arm's training."""
    _, store = ablated
    (deduped,) = [
        path.parent
        for path in (store / "artifacts" / "dedup").glob("*/manifest.json")
        if json.loads(path.read_text())["ledger"]["dropped"].get("near_duplicate") == NEAR
    ][:1]
    rejects = [
        row
        for part in sorted((deduped / "rejects").glob("*.parquet"))
        for row in pq.read_table(part).to_pylist()
    ]
    forbidden, dropped = set(), 0
    for manifest, rows in rows_of(store):
        held_out = {row["id"] for row in rows if row["split"] == "validation"}
        forbidden = {row["id"] for row in rejects if row["partner"] in held_out} | held_out
        trained = {row["id"] for row in rows if row["split"] == "train"}
        assert len(forbidden) > len(held_out)  # some held-out document has a copy
        assert not trained & forbidden
        dropped += manifest["ledger"]["dropped"].get("copy_of_held_out_text", 0)
    assert dropped  # without the rule some would be trained on


def test_tokens_of_a_row_stand_where_its_offset_says(ablated):
    _, store = ablated
    for path in (store / "artifacts" / "equal_sample").glob("*/part-*.parquet"):
        before = 0
        for row in pq.read_table(path).to_pylist():
            assert row["offset"] == before
            before += len(row["tokens"])


def test_the_result_is_a_page_and_a_run_with_a_child_per_training(ablated):
    result, store = ablated
    page = Path(result["page"]).read_text("utf-8")
    assert all(arm in page for arm in ("all-rules", "near-duplicates", "source:zh"))
    assert page.count("<svg") == 3  # all text, English, Chinese
    settings = tracking_settings(read_settings(str(store), 1))
    client = tracking.connect(settings)
    experiment = tracking.experiment_id(client, settings)
    query = f"tags.`{tracking.PARENT}` = '{result['run']}'"
    assert len(client.search_runs([experiment], query)) == len(ARMS) * 2
    logged = client.get_run(result["run"]).data.metrics
    for arm in result["arms"][1:]:
        whole = next(worth for worth in arm["worth"] if worth["slice"] == "all")
        assert whole["low"] < whole["difference"] < whole["high"]
        assert logged[metric_name(f"ablate/{arm['arm']}/all")] == pytest.approx(whole["difference"])


def test_the_same_again_trains_nothing_and_an_arm_is_added_cheaply(ablated, world, capsys):
    before = sorted((world / "store" / "artifacts" / "train").glob("*/manifest.json"))
    result, _ = ablate(world, capsys, "--arm", "all-rules", "--arm", "near-duplicates",
                       "--arm", "source:zh")  # fmt: skip
    assert result["arms"] == ablated[0]["arms"]
    assert sorted((world / "store" / "artifacts" / "train").glob("*/manifest.json")) == before


def test_an_arm_that_there_is_not_is_refused_with_the_nearest_name(ablated, world, capsys):
    words = ["ablate", str(world / "world.toml"), "--store", str(world / "store")]
    for setting in TINY:
        words += ["--set", setting]
    assert cli.main([*words, "--arm", "near-duplicate"]) == cli.EXIT_MISUSED
    assert "near-duplicates" in capsys.readouterr().err
    assert cli.main([*words, "--seeds", "1"]) == cli.EXIT_MISUSED


def rows(shift: float, seed: int):
    """Return 40 documents of two languages; `shift` bits more per byte of Chinese."""
    return [
        {
            "id": f"d{n}",
            "lang": "zh" if n % 2 else "en",
            "source": "s",
            "bytes": 100 + n,
            "bits": (100 + n) * (2.0 + 0.001 * seed + (shift if n % 2 else 0.0) + 0.0005 * (n % 7)),
        }
        for n in range(40)
    ]


def test_what_costs_one_language_is_told_of_that_language():
    base = [rows(0.0, seed) for seed in range(3)]
    found = {w.slice: w for w in worths(base, [rows(0.05, seed + 1) for seed in range(3)])}
    assert found["lang.zh"].difference == pytest.approx(0.051)
    assert found["lang.en"].difference == pytest.approx(0.001)
    assert found["lang.zh"].verdict == "worth it"
    assert found["lang.zh"].low <= 0.051 <= found["lang.zh"].high


def test_a_difference_inside_the_spread_of_seeds_is_not_called_better():
    base = [rows(0.0, seed) for seed in range(3)]
    arm = [rows(shift, seed) for seed, shift in enumerate((0.05, -0.03, 0.01))]
    assert all(worth.verdict == "not told apart" for worth in worths(base, arm))
    harmful = {w.slice: w for w in worths(base, [rows(-0.05, seed) for seed in range(3)])}
    assert harmful["lang.zh"].verdict == "harmful"


def test_held_out_documents_of_an_arm_are_those_of_the_base_by_their_ids(ablated):
    _, store = ablated
    _, rows = rows_of(store)[0]
    ids = [row["id"] for row in rows]
    by_id = splits(pa.array(ids), "split", int(0.2 * 2**64)).to_pylist()
    assert by_id == [row["split"] for row in rows]
