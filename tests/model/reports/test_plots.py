"""Plots: every picture is made, with units, and odd names do not break it."""

import pytest
from matplotlib.figure import Figure

from model.reports import evaluation_plots, plot_style, plots


@pytest.fixture(scope="module")
def chain(made_chain, tmp_path_factory):
    return made_chain(tmp_path_factory.mktemp("plots"))


def axes():
    return Figure().add_subplot()


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
    rows = chain.training.rows_of()
    canvas = axes()
    plots.loss_curve(canvas, rows)
    training, held_out = canvas.get_lines()
    assert list(training.get_xdata()) == [row["tokens"] for row in rows]
    assert len(held_out.get_xdata()) == sum(row["validation_loss"] is not None for row in rows)
    assert canvas.get_xscale() == "log"
    assert canvas.get_ylabel() == "nats per token"


def test_the_mixture_shows_shares_trained_on_beside_those_in_the_shards():
    rows = [{"source": "百科$", "lang": "zh", "tokens": 6000, "share": 0.6, "epochs": 3.0},
            {"source": "web", "lang": "en", "tokens": 4000, "share": 0.4, "epochs": 0.5},
            ]  # fmt: skip
    canvas = axes()
    plots.mixture(canvas, rows)
    widths = [round(bar.get_width(), 3) for bar in canvas.patches]
    assert widths == [0.6, 0.4, 0.2, 0.8]
    assert "60.0%   3 epochs, 6k tokens" in canvas.texts[0].get_text()
    never = {"source": "old", "lang": "en", "tokens": 0, "share": 0.0, "epochs": 0.0}
    plots.mixture(axes(), [*rows, never])


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
    evaluation_plots.bits_per_byte(canvas, chain.evaluation.rows_of())
    widths = [round(bar.get_width(), 3) for bar in canvas.patches]
    assert widths[:5] == [2.0, 1.8, 2.3, 1.8, 2.3]
    assert widths[5:] == [3.1, 2.9, 3.4, 2.9, 3.4]


@pytest.mark.filterwarnings("error")  # a glyph that no font has is a warning
def test_chinese_names_are_drawn_or_escaped(chain, tmp_path, monkeypatch):
    plots.draw(tmp_path, chain.training, chain.evaluation)
    monkeypatch.setattr(plot_style, "CHINESE_FONTS", ())
    assert plot_style.chinese_font() is None
    assert plot_style.readable("维基") == "\\u7ef4\\u57fa"
    (tmp_path / "none").mkdir()
    plots.draw(tmp_path / "none", chain.training, chain.evaluation)


def test_a_name_with_dollars_is_no_formula(tmp_path, monkeypatch):
    monkeypatch.setattr(plot_style, "chinese_font", lambda: "Some Font")
    assert plot_style.readable("$x$") == "\\$x\\$"
    assert len(plot_style.readable("n" * 90)) == 40


def test_other_baselines_are_marked_and_intervals_drawn(chain):
    canvas, rows = axes(), chain.evaluation.rows_of()
    rows = [row | {"ngram_bits_per_byte": 2.6, "bits_per_byte_low": row["bits_per_byte"] - 0.1,
                   "bits_per_byte_high": row["bits_per_byte"] + 0.2} for row in rows]  # fmt: skip
    evaluation_plots.bits_per_byte(canvas, rows)
    [line] = [line for line in canvas.lines if line.get_label() == "n-grams, Kneser-Ney"]
    assert list(line.get_xdata()) == [2.6] * len(rows)
    arms = canvas.collections[0].get_segments()
    assert arms[0][1][0] - arms[0][0][0] == pytest.approx(0.3)


def test_reliability_and_positions_show_the_tables(tmp_path):
    bins = [{"lang": lang, "lower": n / 15, "upper": (n + 1) / 15, "tokens": 30 - n,
             "confidence": (n + 0.5) / 15, "accuracy": (n + 0.2) / 16}
            for lang in ("all", "zh") for n in range(15)]  # fmt: skip
    canvas = axes()
    evaluation_plots.reliability(canvas, bins)
    diagonal, whole, chinese = canvas.lines
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    assert list(whole.get_ydata()) == [row["accuracy"] for row in bins[:15]]
    assert chinese.get_label().startswith("Chinese (zh), error 0.0")
    places = [{"first": 1 << n, "last": (2 << n) - 1, "low": None, "high": None,
               "bits_per_byte": 4 - n / 2} for n in range(6)]  # fmt: skip
    canvas = axes()
    evaluation_plots.by_position(canvas, places)
    assert list(canvas.lines[0].get_ydata()) == [4, 3.5, 3, 2.5, 2, 1.5]


def figure_row(name, value):
    return {"name": name, "value": value, "low": max(0, value - 0.1), "high": min(1, value + 0.1)}


def test_bias_and_tasks_are_dots_with_intervals_and_guessing_is_marked():
    values = {"bias.by_attribute.zh.gender": 0.6, "bias.preference.zh": 0.6,
              "task.topic.accuracy.zh": 0.4, "task.topic.majority.zh": 0.3,
              "task.topic.shots": 2.0, "task.code.passes.python": 0.0}  # fmt: skip
    rows = [figure_row(name, value) for name, value in values.items()]
    canvas = axes()
    evaluation_plots.bias(canvas, rows)
    assert [label.get_text() for label in canvas.get_yticklabels()] == ["Chinese (zh): gender"]
    canvas = axes()
    evaluation_plots.tasks(canvas, rows)
    labels = [label.get_text() for label in canvas.get_yticklabels()]
    assert labels == ["topic, zh: accuracy", "code, python: passes"]
    scores, guess = canvas.collections
    assert scores.get_offsets()[:, 0].tolist() == [0.4, 0.0]
    assert guess.get_offsets().tolist() == [[0.3, 0.0]]
