"""Our pages in a real browser, wide and narrow: nothing is cut, nothing sticks out."""

import pydoc_data.topics
from pathlib import Path

import polars as pl
import pytest

from expectations import page as gates
from expectations.expect import Expect, Outcome, Verdict
from flows import cli
from flows.reports import transfer_page
from flows.reports.transfer_page import RIVALS
from model.serve import page as serve
from model.transferring.arms import ARMS
from model.transferring.comparison import ArmComparison, MeanInterval
from tests.browser import open_browser

WIDTHS = (1280, 390)
# Elements whose text is wider than they are, and words broken where no separator is.
CUT = r"""
(() => {
  const found = [];
  const kinds = 'td, th, h1, h2, p, li, dd, dt, code, button, label';
  for (const box of document.querySelectorAll(kinds)) {
    const [needs, has] = [box.scrollWidth, box.clientWidth];
    if (box.offsetParent && needs > has + 1 && has)
      found.push(`${box.tagName} ${needs} > ${has}: ${box.innerText.slice(0, 60)}`);
  }
  for (const box of document.querySelectorAll('.scroll'))
    if (box.scrollWidth > box.clientWidth + 1)
      found.push(`a table of ${box.scrollWidth} in ${box.clientWidth}`);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode, box = text.parentElement;
    if (!box.offsetParent || box.closest('svg, script, style')) continue;
    for (const word of text.data.matchAll(/\b[A-Za-z]{2,24}\b/g)) {
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const tops = new Set([...range.getClientRects()].map(r => Math.round(r.top / 4)));
      if (tops.size > 1) found.push(`broken: ${word[0]} in ${text.data.trim().slice(0, 60)}`);
    }
  }
  return found;
})()
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def gates_page(folder: Path) -> Path:
    metrics = {
        "validation_token_share.python-docstrings": 0.00001234,
        "remaining_exact_duplicates": 0.0,
        "language_confidence_low.und": 0.987654321,
        "source_loss.一个名字很长的来源": 123456.0,
    }
    outcomes = tuple(
        Outcome(Expect(name, at_least=0.0, at_most=1_000.0, severity=severity,
                       because="so many copies mean that a source came twice, or that boilerplate "
                       "is most of it", next_step="look at rejects/ and raise dedup.threshold, or "
                       "--set gates.dedup.duplicate_share.at_most=0.9"), name, value, passed)
        for (name, value), passed, severity in zip(
            metrics.items(), (True, False, False, True), ("critical", "warning", "critical") * 2,
            strict=False)
    )  # fmt: skip
    verdict = Verdict("dedup", "f" * 64, "deduped v1", outcomes, metrics, {})
    funnel = [{"stage": "clean", "documents_in": 123_456_789, "documents_kept": 98_765_432,
               "bytes_kept": 123_456_789_000,
               "dropped": {"too_many_repeated_lines_or_paragraphs": 12_345_678, "短": 4},
               "quarantined": {"not in any encoding that is known": 6}, "seconds": 12_345.6,
               "reused": True}]  # fmt: skip
    typical = pl.DataFrame(
        {"rule": ["top_character_4gram_share", "near_duplicate"],
         "id": ["a-document-with-quite-a-long-name-0001.html", "页面/很长的名字/二" * 4],
         "source": ["common-crawl-2026", "news"], "value": [0.123456789, 0.875],
         "threshold": [0.1, 0.8], "partner": [None, "another/document/of/the/same/source.txt"],
         "detail": [None, "3 of 5"],
         "excerpt": ["x" * 300, "https://example.org/" + "a-path/" * 30]}
    )  # fmt: skip
    pairs = pl.DataFrame(
        {"similarity": [0.81], "id": ["first-of-them"], "partner": ["second-of-them"],
         "text": ["人工智能" * 60], "partner_text": ["the same text again " * 20]}
    )  # fmt: skip
    figures = {"bits per byte, all held-out text": "1.0771 (1.0712 to 1.0834)", "parameters": "1"}
    text = gates.render([verdict], funnel, "textmill: my-own-texts_of-2026", figures,
                        {"clean": typical}, pairs)  # fmt: skip
    return write(folder / "gates.html", text.replace("<details>", "<details open>"))


def serve_page(folder: Path) -> Path:
    text = serve.render("a-model-with-a-rather-long-name-v12", 512, chats=True)
    return write(folder / "serve.html", text)


def transfer_report(folder: Path) -> Path:
    figure = MeanInterval(0.876, 0.851, 0.902)
    one = ArmComparison(
        name="chinese-reviews-of-restaurants_long-name", task="classify", langs=("zh", "en"),
        questions=2000, examples=12_345, chance=0.5, seeds=(0, 1),
        accuracy=dict.fromkeys(ARMS, figure), bits_per_byte=dict.fromkeys(ARMS, figure),
        over=dict.fromkeys(RIVALS, MeanInterval(0.02, -0.01, 0.05)), bits_saved=figure,
    )  # fmt: skip
    told = {"headline": "The transferred model beats training from scratch on 1 of 1 sets.",
            "left_out": {"poems": "poems: fewer than 8 answers are there twice"},
            "settings": {"transfer.finetune.learning_rates": [0.001, 0.004], "seeds": [0, 1],
                         "model": "f" * 64}}  # fmt: skip
    text = transfer_page.render([one] * 2, told, [])
    return write(folder / "transfer.html", text.replace("<details>", "<details open>"))


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "some-texts-of-python"
    folder.mkdir()
    for name, text in sorted(pydoc_data.topics.topics.items())[:15]:
        (folder / f"{name}.txt").write_text(text, "utf-8")
    return folder


def what_if_page(folder: Path, texts: Path) -> Path:
    raw, clean = str(folder / "raw"), str(folder / "clean")
    assert cli.main(["ingest", str(texts), "--out", raw]) == 0
    assert cli.main(["clean", raw, "--out", clean, "--profile", "web"]) == 0
    assert cli.main(["what-if", clean, "--out", str(folder / "what-if.html")]) == 0
    return folder / "what-if.html"


def tokenizer_pages(folder: Path, texts: Path) -> list[Path]:
    command = ["tokenizer", str(texts), "--out"]
    assert cli.main([*command, str(folder / "tok"), "--vocab-size", "700"]) == 0
    assert cli.main([*command, str(folder / "sweep"), "--sweep", "500,700"]) == 0
    return [folder / "tok.html", folder / "sweep.html"]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


def test_no_page_is_cut_or_sticks_out(browser, texts, tmp_path):
    pages = [gates_page(tmp_path), serve_page(tmp_path), transfer_report(tmp_path)]
    pages += [what_if_page(tmp_path, texts), *tokenizer_pages(tmp_path, texts)]
    wrong = {}
    for path in pages:
        for width in WIDTHS:
            browser.size(width)
            browser.open(path.as_uri())
            found = browser.run(CUT)
            if (whole := browser.run("document.documentElement.scrollWidth")) > width:
                found.append(f"the page is {whole} wide")
            if found:
                wrong[f"{path.name} at {width}"] = found[:8]
            browser.picture(tmp_path / f"{path.stem}-{width}.png")
    assert wrong == {}
