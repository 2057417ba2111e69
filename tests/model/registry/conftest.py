"""A registry in a real SQLite store per module, and a function that registers into it."""

import pytest

from model.registry import tracking, versions
from model.registry.model_record import BITS_PER_BYTE, ModelRecord
from model.registry.succession import CHAMPION
from model.registry.tracking import TrackingSettings
from model.reports import plots, promotion_plot
from tests.model.scores import costs

DRAW = promotion_plot.draw


@pytest.fixture(scope="module")
def no_plots():
    """Leave out the plots, most of a registration's time; they have tests of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda *_: [])
        patch.setattr(promotion_plot, "draw", lambda *_: [])
        yield


@pytest.fixture
def promotion_plots(no_plots, monkeypatch):
    """Draw the plot of a promotion all the same."""
    monkeypatch.setattr(promotion_plot, "draw", DRAW)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> TrackingSettings:
    folder = tmp_path_factory.mktemp("registry") / "mlflow"  # as in a store
    return TrackingSettings(f"sqlite:///{folder / 'mlflow.db'}", folder / "artifacts", "lab")


@pytest.fixture(scope="module")
def client(settings):
    return tracking.connect(settings)


@pytest.fixture(scope="module")
def register(no_plots, settings, client, chains):
    """Register a chain of the module's `chains` by its name; the champion scores as it did."""

    def champion_costs(name):
        def score(folder):
            rival = client.get_model_version_by_alias(name, CHAMPION)
            return costs(float(rival.tags[BITS_PER_BYTE]))

        return score

    def call(name, which, compare=None, **changed):
        chain = changed.pop("chain", chains.get(which))
        return versions.register(
            settings,
            name,
            chain.training.path,
            ModelRecord(
                evaluation=chain.evaluation,
                training=chain.training,
                data=chain.data,
                verdict_files=chain.verdict_files,
                params={"train.seed": 1},
                card=changed.get("card", f"# {which}"),
                sources=changed.get("sources", ()),
            ),
            compare or champion_costs(name),
        )

    return call
