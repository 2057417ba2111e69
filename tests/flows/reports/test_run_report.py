"""What a run prints: each row says something of its own, and how good the model is in words."""

import io

import pytest
from rich.console import Console

from flows.reports import run_report
from flows.reports.run_report import nothing_found, standing
from flows.reports.samples import ShownContinuation


def printed(samples) -> str:
    console = Console(file=io.StringIO(), width=80, highlight=False, markup=False)
    run_report._print_samples(console, samples)
    return console.file.getvalue()


def test_a_continuation_stands_beside_the_real_one_whatever_signs_it_has():
    told = printed([ShownContinuation("床前[bold]", "明\n月[/]", "明月光，[#]: x", "zh")])
    assert "Continuations of held-out documents" in told
    assert "床前[bold]" in told
    assert "明 月[/]" in told
    assert "明月光，[#]: x" in told
    assert "really" not in printed([ShownContinuation("a", "b")])
    long = "很长的文字" * 60
    assert max(map(len, printed([ShownContinuation(long, long, long)]).splitlines())) <= 80


@pytest.mark.parametrize(
    ("own", "ngram", "said"),
    [(3.0, 2.0, "no better than the frequencies"), (1.5, 1.2, "not than counting"),
     (1.0, 1.2, "better than counting")],
)  # fmt: skip
def test_the_model_is_put_beside_counting_in_words(own, ngram, said):
    row = {"bits_per_byte": own, "unigram_bits_per_byte": 2.5, "ngram_bits_per_byte": ngram}
    told = standing(row, {"epochs": 0.25, "steps": 200})
    assert said in told
    assert ("--set train.steps=800 reads all of it" in told) == (own > ngram)
    assert "train.steps" not in standing(row, {"epochs": 3.0, "steps": 200})


def figure(name, value, examples=10):
    return {"name": name, "value": value, "low": None, "high": None, "examples": examples}


def test_probes_that_found_nothing_are_one_line():
    rows = [figure("memorisation.train.en", 0.0, 20), figure("memorisation.excess.en", 0.0, 40),
            figure("toxicity.samples.en", 0.1), figure("bias.preference.en", 0.5, 144),
            figure("memorisation.train_tokens.en", 3.0)]  # fmt: skip
    told = nothing_found(rows)
    assert "memorisation (up to 40 examples each)" in told
    assert "bias (up to 144" in told
    assert "toxicity" not in told
    assert nothing_found([]) == ""
