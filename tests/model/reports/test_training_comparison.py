"""The plot of a comparison shows every training, however seldom it was validated."""

import pytest
from matplotlib.figure import Figure

from model.reports.training_comparison import Trained, curves, lines


def trained(name, validated_every):
    curve = [
        {
            "tokens": 100 * number,
            "loss": 6.0 - number,
            "validation_loss": 6.5 - number if number % validated_every == 0 else None,
        }
        for number in range(1, 5)
    ]
    figures = {"validation_loss": 2.5, "loss": 2.0, "tokens": 400.0}
    return Trained(name, seed=1, curve=curve, figures=figures)


@pytest.mark.parametrize(("every", "text", "last"), [(2, "held-out", 2.5), (4, "training", 2.0)])
def test_a_loss_measured_once_makes_no_line_so_that_of_training_is_drawn(every, text, last):
    runs = [trained("one", 2), trained("other", every)]
    axes = Figure().add_subplot()
    curves(axes, runs, lines(runs))
    assert axes.get_ylabel() == f"{text} text, nats per token"
    assert len(axes.lines) == 2
    assert all(len(line.get_xdata()) > 1 for line in axes.lines)
    assert axes.lines[1].get_ydata()[-1] == last
