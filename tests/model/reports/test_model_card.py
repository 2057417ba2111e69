"""The model card says what was done, from the artifacts alone."""

from types import SimpleNamespace

import pytest

from model.reports import model_card


@pytest.fixture(scope="module")
def chain(made_chain, tmp_path_factory):
    return made_chain(tmp_path_factory.mktemp("card"))


@pytest.fixture(scope="module")
def text(chain):
    missed = SimpleNamespace(metric="clean.kept_share", observed=0.42)
    gone = SimpleNamespace(metric="clean.rules", observed=None)
    verdicts = [
        SimpleNamespace(stage="clean", outcomes=[missed, gone, 1], failures=[missed, gone],
                        critical_failures=[]),
        SimpleNamespace(stage="train", outcomes=[missed], failures=[missed],
                        critical_failures=[missed]),
    ]  # fmt: skip
    return model_card.render(chain.all, verdicts, "demo")


def test_figures_of_every_stage_are_in_it(text):
    assert "250,000 parameters" in text
    assert "| clean | 118 | 100 | min_words 11, symbol_ratio 7 |" in text
    assert "| 维基百科 | Chinese (zh) | CC-BY-SA-4.0 | 30 |" in text
    assert "| handbook | English (en) | not stated | 60 |" in text
    assert "| Chinese (zh) | 3.60 | 1.67 | 0.80% | 0 of 90 |" in text
    assert "| lang | Chinese (zh) | 30 | 2.300 | 3.400 |" in text
    assert "| `seed` | 0 |" in text


def test_verdicts_show_what_was_not_met(text):
    assert "| clean | passed | 3 | clean.kept_share = 0.42; clean.rules = missing |" in text
    assert "| train | failed | 1 |" in text


def test_it_says_how_to_use_the_model_and_that_textmill_must_be_installed(text):
    for command in ("textmill generate", "textmill serve"):
        assert f"{command} models:/demo@champion" in text
    assert "textmill installed" in text


def test_a_model_that_saw_little_text_is_called_a_demonstration(text):
    assert "0.7 training tokens per parameter" in text


def test_the_same_artifacts_give_the_same_card_without_paths(chain, text):
    assert model_card.render(chain.all, [], "demo") == model_card.render(chain.all, [], "demo")
    assert str(chain.training.path) not in text


def test_missing_stages_are_left_out(chain):
    text = model_card.render([chain.training], [], "demo")
    assert "## Evaluation" not in text
    assert "## Data" not in text
    assert "## Architecture and training" in text
