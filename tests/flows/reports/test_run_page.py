"""The report of a run: every figure is the manifests', in a real browser nothing is amiss."""

import html
import itertools
import json
import re

import polars as pl
import pytest

from expectations.suites import SUITES
from flows import cli, run_reports
from flows.reports.run_page.page import render
from flows.reports.run_page.words import ReportWords
from model.registry import tracking
from pipeline.store import storage
from tests.browser import open_browser
from tests.flows.reports.conftest import HOSTILE
from tests.test_pages import CUT, WIDTHS

FIGURE = re.compile(r'<data value="([^"]*)" data-figure="([^"]*)">([^<]*)</data>')
BYTES_MAX = 2_000_000
HEADINGS = "[...document.querySelectorAll('h1, h2, h3, h4')].map(h => +h.tagName[1])"
# Texts whose colour has less than 4.5 : 1 on what is behind them (WCAG 2.2, 1.4.3).
PALE = r"""
(() => {
  const light = c => { const [r, g, b] = c.map(v => { v /= 255;
    return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; });
    return .2126 * r + .7152 * g + .0722 * b; };
  const parts = c => c.match(/[\d.]+/g).map(Number);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = parts(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; }
    return [255, 255, 255]; };
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || e.closest('style')) continue;
    const s = getComputedStyle(e), own = e.closest('svg') ? s.fill : s.color;
    const [a, b] = [light(parts(own).slice(0, 3)), light(behind(e).slice(0, 3))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const words = texts.currentNode.data.trim().slice(0, 40);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${words}`);
  }
  return [...new Set(found)];
})()
"""
UNNAMED = r"""
[...document.querySelectorAll(`svg[role=img]:not([aria-label]), svg:not([role]):not([aria-hidden]),
 img:not([alt]), th:not([scope]), table:not(:has(th)), section:not([aria-labelledby])`)]
.map(e => e.outerHTML.slice(0, 80))
"""


def figures_on(page: str) -> dict[str, set[float]]:
    """Return the figures of a page by what they are called; one may be shown at two places."""
    found: dict[str, set[float]] = {}
    for value, key, _ in FIGURE.findall(page):
        if value not in ("None", "") and key not in ("spent.device", "spent.precision"):
            found.setdefault(html.unescape(key), set()).add(float(value))
    return found


def rows(folder, table="") -> list[dict]:
    parts = sorted((folder / table).glob("part-*.parquet"))
    return pl.concat([pl.read_parquet(part) for part in parts]).to_dicts() if parts else []


def wanted_figures(settings, number: int) -> dict[str, float]:
    """Return what the manifests and tables of a run say, under the names that a page has."""
    record = json.loads((settings.runs / "world" / f"{number:04d}.json").read_text())
    wanted: dict[str, float] = {}
    for stage, made in record["stages"].items():
        folder = settings.store / "artifacts" / stage / made["fingerprint"][:16]
        manifest = json.loads((folder / "manifest.json").read_text())
        ledger, stats = manifest["ledger"], manifest["stats"]
        wanted[f"artifact.{stage}.seconds"] = json.loads((folder / "timing.json").read_text())[
            "seconds"
        ]
        if stage in ("ingest", "clean", "dedup", "shard"):
            more = stats.get("split", {}).get("rows_added", 0)
            wanted[f"{stage}.in"], wanted[f"{stage}.kept"] = (
                ledger["in"] - more,
                ledger["kept"] - more,
            )
            for kind in ("dropped", "quarantined"):
                wanted |= {f"{stage}.{kind}.{name}": n for name, n in ledger[kind].items()}
        if stage in ("ingest", "clean", "dedup"):
            wanted[f"{stage}.bytes"] = manifest["text_bytes"]
        verdict = json.loads(folder.with_name(f"{folder.name}.gate.json").read_text())
        for outcome in verdict["outcomes"]:
            if outcome["observed"] is not None:
                wanted[f"gate.{stage}.{outcome['metric']}"] = outcome["observed"]
        if stage == "train":
            wanted |= {f"train.{name}": stats[name] for name in ("parameters", "tokens_seen")}
            spent = json.loads((folder / "spent.json").read_text())
            wanted |= {f"spent.{k}": v for k, v in spent.items() if not isinstance(v, str)}
        if stage == "tokenizer":
            for row in rows(folder):
                wanted[f"tokenizer.{row['lang']}.fertility"] = row["tokens"] / row["words"]
        if stage == "evaluate":
            for row in rows(folder):
                key = "all" if row["kind"] == "all" else f"{row['kind']}.{row['name']}"
                wanted |= {f"evaluate.{key}.{name}": value for name, value in row.items()
                           if isinstance(value, float | int)}  # fmt: skip
            wanted |= {f"figure.{row['name']}": row["value"] for row in rows(folder, "figures")}
    return wanted


@pytest.mark.parametrize(("name", "number"), [("first", 1), ("grown", 2), ("stopped", 3)])
def test_every_figure_is_the_manifests(reported_runs, name, number):
    shown = figures_on(reported_runs.pages[name])
    wanted = wanted_figures(reported_runs.settings, number)
    assert {key: values for key, values in shown.items()
            if key in wanted and values != {wanted[key]}} == {}  # fmt: skip
    unknown = {key for key in shown if key not in wanted}
    # Sums over tables: what shards and the mixture hold, and the champion's figures.
    assert {key.split(".")[0] for key in unknown} <= {
        "sources", "mixture", "shard", "champion", "tokenizer", "artifact", "spent",
    }  # fmt: skip
    assert len(shown.keys() & wanted.keys()) > (60 if name != "stopped" else 15)


def test_a_page_holds_everything_of_its_run(reported_runs):
    page = reported_runs.pages["grown"]
    for heading in ("At a glance", "What changed since run 1", "What became of the text", "Gates",
                    "Tokenizer", "Training", "How good the model is", "Against the champion",
                    "What it writes", "Where it came from"):  # fmt: skip
        assert f">{heading}<" in page
    assert len(page.encode()) < BYTES_MAX / 10
    assert "Registered as world version 2." in page


def test_nothing_is_asked_of_anywhere_and_no_secret_is_told(reported_runs):
    for page in reported_runs.pages.values():
        assert not re.search(r"<(script|img|iframe|link)|url\((?!#)|@import", page)
        assert not re.search(r"""<[a-z][^>]*\s(src|action|href=["']?[^"'#])""", page)
        assert "s3cr3t" not in page
        assert "\x00" not in page


def test_a_stopped_run_says_where_why_and_what_to_do(reported_runs):
    page = reported_runs.pages["stopped"]
    top = page[: page.index("At a glance")]
    assert "Stopped by the gate after dedup." in top
    assert "duplicate_share" in top
    assert "Next step" in top
    assert "How good the model is" not in page


def test_a_failed_run_says_in_which_stage_and_how_it_goes_on(reported_runs):
    page = reported_runs.pages["failed"]
    top = page[: page.index("At a glance")]
    assert "Failed in tokenizer." in top
    assert "no tokenizer at https://***@h/ today" in top
    assert "Run the same command again" in top


def test_it_is_made_again_from_the_records_alone(reported_runs):
    settings = reported_runs.settings
    kept = run_reports.snapshot_path(settings, "world", 2)
    stored = kept.read_bytes()
    kept.unlink()
    try:
        again = run_reports.of_run(settings, "world", 2)
    finally:
        kept.write_bytes(stored)
    page = run_reports.draw(again, settings, "en")
    assert figures_on(page) == figures_on(reported_runs.pages["grown"])


def test_the_run_in_mlflow_holds_page_and_snapshot(reported_runs, tmp_path, capsys):
    settings = reported_runs.settings
    client = tracking.connect(settings.tracking)
    version = client.get_model_version("world", "1")
    files = {entry.path for entry in client.list_artifacts(version.run_id)}
    assert {"report.html", "report.json"} <= files
    out = tmp_path / "again.html"
    assert cli.main(["report", "models:/world/1", "--out", str(out), "--store",
                     str(settings.store), "--json"]) == 0  # fmt: skip
    assert json.loads(capsys.readouterr().out)["number"] == 1
    assert figures_on(out.read_text("utf-8")) == figures_on(reported_runs.pages["first"])


def test_two_runs_are_compared_document_by_document(reported_runs, tmp_path):
    out = tmp_path / "two.html"
    store = ["--store", str(reported_runs.settings.store)]
    assert cli.main(["report", "world/1", "world/2", "--out", str(out), *store]) == 0
    page = out.read_text("utf-8")
    assert "On the same held-out documents" in page
    assert "paired.all.all" in page
    assert ">Sources<" in page  # it has more documents
    assert cli.main(["report", "world/1", "world/3", "--out", str(out), *store]) == 0
    told = out.read_text("utf-8").replace("<wbr>", "")
    assert "gates.dedup.duplicate_share.at_most" in told


def test_what_is_not_there_is_refused_with_what_is(reported_runs, capsys):
    store = ["--store", str(reported_runs.settings.store)]
    for wrong in ("world/77", "nobody", "models:/world/9", "world/x"):
        assert cli.main(["report", wrong, *store]) == 2
    told = capsys.readouterr().err
    assert "world has runs: 1, 2, 3, 4" in told


def test_words_are_the_same_in_both_languages():
    english, chinese = ReportWords("en"), ReportWords("zh")
    assert english._words.keys() == chinese._words.keys()
    for key, text in english._words.items():
        assert sorted(re.findall(r"{\w+}", text)) == sorted(re.findall(r"{\w+}", chinese(key))), key
    for expect in itertools.chain(*SUITES.values()):
        for text in (expect.because, expect.next_step):
            assert chinese.recorded(text) != text, text


def swollen(snapshot: dict) -> dict:
    """Return a snapshot with each list as long and each text as bad as a run may leave it."""
    worst = json.loads(json.dumps(snapshot))
    bad = itertools.cycle([words[:160] for words in HOSTILE])
    for row in worst["sources"]:
        row["source"] = next(bad)
    for sample in worst["samples"]:
        sample |= {"prompt": next(bad), "text": next(bad) * 7, "real": next(bad) * 7}
    worst["samples"] *= 4
    for reject in itertools.chain(*worst["rejects"].values()):
        reject |= {"id": next(bad)[:80], "excerpt": next(bad), "source": next(bad)[:80]}
    worst["rejects"] = dict.fromkeys(worst["rejects"], worst["rejects"]["clean"] * 8)
    worst["funnel"][1]["dropped"] = {f"{next(bad)[:70]}{i}": 10**9 + i for i in range(40)}
    worst["description"] = next(bad)
    worst["registration"]["name"] = next(bad)
    for gate in worst["gates"]:
        gate["outcomes"] = [{**item, "passed": False} for item in gate["outcomes"]] * 10
    worst["settings"] |= {f"key.{i}.{next(bad)[:60]}": next(bad) for i in range(500)}
    worst["changed"] = list(worst["settings"])
    worst["training"]["curve"] = worst["training"]["curve"] * 60
    return worst


def test_a_page_is_bounded_whatever_the_run(reported_runs):
    worst = swollen(run_reports.of_run(reported_runs.settings, "world", 2))
    before = run_reports.of_run(reported_runs.settings, "world", 1)
    assert len(render(worst, "en", before).encode()) < BYTES_MAX


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture(scope="module")
def looked_at(reported_runs, page_file, tmp_path_factory):
    """Every kind of page, all its details open."""
    settings, pages = reported_runs.settings, dict(reported_runs.pages)
    grown = run_reports.of_run(settings, "world", 2)
    pages["chinese"] = run_reports.draw(grown, settings, "zh")
    pages["hostile"] = render(swollen(grown), "en", run_reports.of_run(settings, "world", 1))
    two = tmp_path_factory.mktemp("two") / "two.html"
    assert cli.main(["report", "world/1", "world/2", "--out", str(two), "--store",
                     str(settings.store)]) == 0  # fmt: skip
    pages["two"] = two.read_text("utf-8")
    return {
        name: page_file(name, re.sub(r"<details( class=\S+)?>", r"<details\1 open>", text))
        for name, text in pages.items()
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_in_a_browser_nothing_is_cut_pale_unnamed_or_asked_for(browser, looked_at, width):
    wrong = {}
    for name, path in looked_at.items():
        browser.size(width)
        browser.requests.clear()
        browser.errors.clear()
        browser.open(path.as_uri())
        found = [*browser.errors]
        if name != "hostile":  # its words are broken, as they must be
            found += browser.run(CUT)
        if (whole := browser.run("document.documentElement.scrollWidth")) > width:
            found.append(f"the page is {whole} wide")
        found += [address for address in browser.requests if address != path.as_uri()]
        levels = browser.run(HEADINGS)
        if levels[0] != 1 or levels.count(1) != 1:
            found.append(f"headings {levels}")
        found += [f"h{b} after h{a}" for a, b in itertools.pairwise(levels) if b > a + 1]
        found += browser.run(UNNAMED)
        if browser.run("document.title") == "hurt":
            found.append("a script of a stranger ran")
        for is_dark in (False, True):
            browser.dark(is_dark)
            found += browser.run(PALE)
        if found:
            wrong[name] = found[:8]
    assert wrong == {}


def test_the_language_is_told_and_can_be_set_in_the_recipe(reported_runs, browser, looked_at):
    browser.open(looked_at["chinese"].as_uri())
    assert browser.run("document.documentElement.lang") == "zh-Hans"
    assert "运行报告" in browser.text()
    snapshot = run_reports.of_run(reported_runs.settings, "world", 1)
    assert snapshot["settings"]["report.language"] == "en"


def test_a_damaged_snapshot_is_taken_again(reported_runs):
    path = run_reports.snapshot_path(reported_runs.settings, "world", 1)
    stored = path.read_bytes()
    storage.write_bytes(path, stored[:100])
    try:
        assert run_reports.of_run(reported_runs.settings, "world", 1)["number"] == 1
    finally:
        path.write_bytes(stored)


def test_a_version_names_what_it_was_trained_from_and_its_shares(reported_runs):
    client = tracking.connect(reported_runs.settings.tracking)
    second = client.get_model_version("world", "2")
    assert second.tags["textmill.languages"].startswith("en ")
    assert second.tags["textmill.licenses"] == "not stated 100.0 %"
    found = client.search_model_versions("tags.`textmill.languages` LIKE '%zh%'")
    assert {str(version.version) for version in found} >= {"1", "2"}
