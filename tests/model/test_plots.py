"""Plots: every picture is made, with units, and odd names do not break it."""

import pytest
from matplotlib.figure import Figure

from model import plots


@pytest.fixture(scope="module")
def chain(made_chain, tmp_path_factory):
    return made_chain(tmp_path_factory.mktemp("plots"))


def axes():
    return Figure().add_subplot()


def rows_of(artifact):
    return artifact.scan().collect().to_dicts()


def test_every_plot_is_a_picture_of_readable_size(chain, tmp_path):
    speed = [(4096, 900.0), (8192, 1000.0)]
    made = plots.draw(tmp_path, chain.training, chain.evaluation, chain.data, speed)
    assert [path.stem for path in made] == [
        "loss", "learning_rate", "gradient_norm", "throughput", "funnel", "bits_per_byte",
    ]  # fmt: skip
    for path in made:
        head = path.read_bytes()[:24]
        assert head.startswith(b"\x89PNG")
        assert int.from_bytes(head[16:20]) > 700  # pixels wide


def test_plots_of_what_is_missing_are_left_out(chain, tmp_path):
    made = plots.draw(tmp_path, chain.training)
    assert [path.stem for path in made] == ["loss", "learning_rate", "gradient_norm"]


def test_loss_shows_training_and_held_out_text_over_tokens(chain):
    rows = rows_of(chain.training)
    canvas = axes()
    plots.loss_curve(canvas, rows)
    training, held_out = canvas.get_lines()
    assert list(training.get_xdata()) == [row["tokens"] for row in rows]
    assert len(held_out.get_xdata()) == sum(row["validation_loss"] is not None for row in rows)
    assert canvas.get_xscale() == "log"
    assert canvas.get_ylabel() == "nats per token"


def test_funnel_shows_share_counts_and_chief_reason(chain):
    canvas = axes()
    plots.funnel(canvas, chain.data)
    words = [text.get_text() for text in canvas.texts]
    assert "84.7%  100 of 118" in words
    assert any("min_words 11 (+1 more)" in word for word in words)
    assert [label.get_text() for label in canvas.get_yticklabels()] == [
        "ingest", "clean", "dedup", "shard",
    ]  # fmt: skip


def test_bars_compare_each_slice_with_the_unigram_model(chain):
    canvas = axes()
    plots.bits_per_byte(canvas, rows_of(chain.evaluation))
    widths = [round(bar.get_width(), 3) for bar in canvas.patches]
    assert widths[:5] == [2.0, 1.8, 2.3, 1.8, 2.3]
    assert widths[5:] == [3.1, 2.9, 3.4, 2.9, 3.4]


@pytest.mark.filterwarnings("error")  # a glyph that no font has is a warning
def test_chinese_names_are_drawn_or_escaped(chain, tmp_path, monkeypatch):
    plots.draw(tmp_path, chain.training, chain.evaluation)
    monkeypatch.setattr(plots, "CHINESE_FONTS", ())
    assert plots.chinese_font() is None
    assert plots.readable("维基") == "\\u7ef4\\u57fa"
    (tmp_path / "none").mkdir()
    plots.draw(tmp_path / "none", chain.training, chain.evaluation)


def test_a_name_with_dollars_is_no_formula(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "chinese_font", lambda: "Some Font")
    assert plots.readable("$x$") == "\\$x\\$"
    assert len(plots.readable("n" * 90)) == 40
