"""Cards made of a run's record: read by the programs they are for, with the manifests' figures."""

import json

import pytest

from flows import cli, run_reports
from flows.commands.store_arguments import CARD
from flows.reports.cards.bill_of_materials import bill_of_materials
from flows.reports.cards.card_facts import UNKNOWN
from flows.reports.cards.table import CARDS
from pipeline.store.artifact import load_artifact


@pytest.fixture(scope="module")
def cards(reported_runs, tmp_path_factory):
    """The path of each kind of card of the grown run's version."""
    folder = tmp_path_factory.mktemp("cards")
    store = ["--store", str(reported_runs.settings.store)]
    for kind in CARDS:
        made = ["card", "models:/world/2", "--kind", kind, "--out", str(folder / kind), *store]
        assert cli.main(made) == 0
    return {kind: folder / kind for kind in CARDS}


def test_the_command_offers_every_kind():
    [kind] = [argument for argument in CARD if "--kind" in argument.flags]
    assert set(kind.keywords["choices"]) == set(CARDS)


def test_each_says_what_the_ledger_cannot_know(cards):
    for path in cards.values():
        text = path.read_text("utf-8")
        assert all(line in text for line in UNKNOWN)
        assert "s3cr3t" not in text


def evaluation_of(reported_runs):
    return artifact_of(reported_runs, "evaluate")


def model_of(reported_runs):
    return artifact_of(reported_runs, "train")


def artifact_of(reported_runs, stage):
    snapshot = run_reports.of_run(reported_runs.settings, "world", 2)
    fingerprint = next(s["fingerprint"] for s in snapshot["stages"] if s["stage"] == stage)
    return load_artifact(reported_runs.settings.store / "artifacts" / stage / fingerprint[:16])


def test_the_hub_reads_the_model_card_with_the_evaluations_figures(cards, reported_runs):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.ModelCard(cards["model"].read_text("utf-8"))
    assert card.data.language == ["en", "zh"]
    assert card.data.library_name == "textmill"
    measured = {row["name"]: row["bits_per_byte"] for row in evaluation_of(reported_runs).rows_of()}
    told = {
        result.dataset_name.removeprefix("held-out text, "): result.metric_value
        for result in card.data.eval_results
        if result.metric_type == "bits_per_byte"
    }
    assert told == measured


def test_the_hub_reads_the_dataset_card(cards):
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard(cards["dataset"].read_text("utf-8"))
    assert card.data.license == ["unknown"]  # neither source nor records say one
    assert card.data.size_categories == ["n<1K"]
    assert "dropped by rule" in card.text


def test_croissant_is_valid_and_names_the_shards_with_their_hashes(cards, reported_runs):
    described = json.loads(cards["croissant"].read_text("utf-8"))
    snapshot = run_reports.of_run(reported_runs.settings, "world", 2)
    assert {file["sha256"] for file in described["distribution"]} == {
        file["sha256"] for file in snapshot["shards"]
    }
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=str(cards["croissant"]))
    assert dataset.metadata.ctx.issues.errors == set()
    assert dataset.metadata.name == "world"


def test_the_bill_of_materials_is_one_by_cyclonedx_and_lists_what_shaped_the_model(
    cards, reported_runs
):
    bill = json.loads(cards["bom"].read_text("utf-8"))
    snapshot = run_reports.of_run(reported_runs.settings, "world", 2)
    listed = {part["bom-ref"]: part for part in bill["components"]}
    made_by = {name: v for stage in snapshot["stages"] for name, v in stage["libraries"].items()}
    libraries = {p["name"]: p for p in bill["components"] if p["type"] == "library"}
    assert {name: part["version"] for name, part in libraries.items()} == made_by
    assert libraries["torch"]["licenses"]
    hashes = [part["hashes"][0]["content"] for part in listed["shards"]["components"]]
    assert hashes == [file["sha256"] for file in snapshot["shards"]]
    model = bill["metadata"]["component"]
    assert {part["hashes"][0]["content"] for part in model["components"]} == {
        entry["sha256"] for entry in model_of(reported_runs).manifest["files"]
    }
    documents = [int(fact["value"]) for part in bill["components"]
                 if part["bom-ref"].startswith("source:")
                 for fact in part["data"][0]["contents"]["properties"]
                 if fact["name"].endswith(".documents")]  # fmt: skip
    assert sum(documents) == sum(row["documents"] for row in snapshot["contents"])
    measured = {m["slice"]: m["value"] for m in
                model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
                if m["type"] == "bits_per_byte"}  # fmt: skip
    assert measured == {
        f"held-out text, {row['name']}": str(row["bits_per_byte"])
        for row in evaluation_of(reported_runs).rows_of()
    }
    refs = {*listed, "model"}
    assert {ref for row in bill["dependencies"] for ref in (row["ref"], *row["dependsOn"])} <= refs


def test_every_bill_of_materials_fits_cyclonedxs_schema(reported_runs):
    validation = pytest.importorskip("cyclonedx.validation.json")
    schema = pytest.importorskip("cyclonedx.schema")
    validator = validation.JsonStrictValidator(schema.SchemaVersion.V1_6)
    for number in (1, 2, 3, 4):
        snapshot = run_reports.of_run(reported_runs.settings, "world", number)
        assert validator.validate_str(bill_of_materials(snapshot)) is None
    row = {"source": "a", "lang": "en", "documents": 1, "bytes": 9}
    names = ("mit", "Ours, (c)", "not stated")
    odd = {**snapshot, "contents": [{**row, "license": name} for name in names]}
    assert validator.validate_str(bill_of_materials(odd)) is None
    broken = json.loads(bill_of_materials(odd)) | {"version": "one"}
    assert validator.validate_str(json.dumps(broken)) is not None


def test_the_summary_for_the_eu_has_the_templates_parts(cards, reported_runs):
    text = cards["training-summary"].read_text("utf-8")
    assert [line.lstrip("# ") for line in text.splitlines() if line.startswith("##")][:-1] == [
        "1. General information",
        "1.1. Provider identification",
        "1.2. Model identification",
        "1.3. Modalities, overall training data size and other characteristics",
        "2. List of data sources",
        "2.1. Publicly available datasets",
        "2.2. Private non-publicly available datasets obtained from third parties",
        "2.2.1. Datasets commercially licensed by rightsholders or their representatives",
        "2.2.2. Private datasets obtained from other third parties",
        "2.3. Data crawled and scraped from online sources",
        "2.4. User data",
        "2.5. Synthetic data",
        "2.6. Other sources of data",
        "3. Data processing aspects",
        "3.1. Respect of reservation of rights from text and data mining exception or limitation",
        "3.2. Removal of illegal content",
        "3.3. Other information (optional)",
    ]
    tokens = artifact_of(reported_runs, "shard").stats["tokens"]["train"]
    assert f"Less than 1 billion tokens: {tokens:,} tokens" in text
    assert "To be stated by the provider" in text
    assert "en (" in text


def test_a_card_of_a_run_that_stopped_says_what_there_is(reported_runs, tmp_path):
    out = tmp_path / "card.md"
    store = ["--store", str(reported_runs.settings.store)]
    for kind in CARDS:
        made = ["card", "world/3", "--kind", kind, "--out", str(out), *store]
        assert cli.main(made) == 0
        assert out.read_text("utf-8")
