"""Our pages in a real browser, wide and narrow: nothing is cut, nothing sticks out."""

import pydoc_data.topics
from pathlib import Path

import pytest

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


def serve_page(folder: Path) -> Path:
    return write(folder / "serve.html", serve.render())


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
    pages = [serve_page(tmp_path), transfer_report(tmp_path)]
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
