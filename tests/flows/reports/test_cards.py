"""Cards made of a run's record: read by the programs they are for, with the manifests' figures."""

import json

import pytest

from flows import cli, run_reports
from flows.commands.store_arguments import CARD
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
    snapshot = run_reports.of_run(reported_runs.settings, "world", 2)
    fingerprint = next(s["fingerprint"] for s in snapshot["stages"] if s["stage"] == "evaluate")
    folder = reported_runs.settings.store / "artifacts" / "evaluate" / fingerprint[:16]
    return load_artifact(folder)


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


def test_the_summary_for_the_eu_has_the_templates_parts(cards):
    text = cards["training-summary"].read_text("utf-8")
    for heading in ("1. General information", "2. List of data sources", "2.4 User data",
                    "2.5 Synthetic data", "3.1 Respect of reservation of rights",
                    "3.2 Removal of illegal content"):  # fmt: skip
        assert heading in text
    assert "To be stated by the provider" in text
    assert "en (" in text


def test_a_card_of_a_run_that_stopped_says_what_there_is(reported_runs, tmp_path):
    out = tmp_path / "card.md"
    store = ["--store", str(reported_runs.settings.store)]
    for kind in CARDS:
        made = ["card", "world/3", "--kind", kind, "--out", str(out), *store]
        assert cli.main(made) == 0
        assert out.read_text("utf-8")
