"""The kinds of card: a row each; all are made of a run's snapshot."""

from collections.abc import Callable

from flows.reports.cards.bill_of_materials import bill_of_materials
from flows.reports.cards.card_facts import Snapshot
from flows.reports.cards.croissant import croissant
from flows.reports.cards.hugging_face import dataset_card, model_card
from flows.reports.cards.training_summary import training_summary

# kind: what makes it, the file's usual name
CARDS: dict[str, tuple[Callable[[Snapshot], str], str]] = {
    "model": (model_card, "README.md"),
    "dataset": (dataset_card, "README.md"),
    "croissant": (croissant, "croissant.json"),
    "bom": (bill_of_materials, "model.cdx.json"),
    "training-summary": (training_summary, "training-summary.md"),
}
