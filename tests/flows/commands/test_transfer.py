"""The command `transfer`: tasks known by their fields, one page, JSON, plots, figures in MLflow."""

import json

import polars as pl
import pytest

from flows import cli
from tests.flows.commands.test_finetune import model  # noqa: F401  # a fixture

FAST = ["--seeds", "2", "--workers", "1"]
for setting in ("classifier.epochs=2", "finetune.examples_max=30"):
    FAST += ["--set", f"transfer.{setting}"]


@pytest.mark.slow  # a minute of CPU: five fine-tunings, cross-validation, a new MLflow store
def test_files_become_a_report_with_figures(model, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setenv("TEXTMILL_MLFLOW_URI", f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}")
    file = tmp_path / "colours.jsonl"
    rows = [{"text": f"{n} rain", "label": "Rain"} for n in range(40)]
    rows += [{"text": f"{n} 太阳", "label": "Sun"} for n in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    out, store = tmp_path / "out", str(tmp_path / "store")
    alone = tmp_path / "alone.jsonl"  # nothing to learn from is left for the other side
    alone.write_text(json.dumps({"text": "rain", "label": "Rain"}))
    files = [str(file), str(alone)]
    command = ["transfer", str(model), *files, "--out", str(out), "--store", store, "--json"]
    assert cli.main([*command, *FAST]) == 0
    told = json.loads(capsys.readouterr().out)
    [found] = told["sets"]
    assert (found["name"], found["task"], found["seeds"]) == ("colours", "classification", [1, 2])
    assert found["accuracy"]["linear"]["mean"] > 0.9
    page = (out / "report.html").read_text()
    assert list(told["left_out"]) == [str(alone)]
    assert "Sets left out" in page
    assert told["headline"].split(".")[0] in page
    assert page.count("data:image/png;base64,") == 3
    assert "http" not in page.replace("data:image", "")
    from flows.settings import read_settings
    from flows.steps import tracking_settings
    from model.registry import tracking

    run = tracking.connect(tracking_settings(read_settings(store))).get_run(told["run_id"])
    linear = run.data.metrics["transfer/colours/linear/accuracy"]
    assert linear == pytest.approx(found["accuracy"]["linear"]["mean"])


def test_a_set_with_one_label_or_too_few_answers_says_so(model, tmp_path, capsys):  # noqa: F811
    labelled, free = tmp_path / "labels.csv", tmp_path / "free.jsonl"
    labelled.write_text("text,label\n" + "".join(f"{n} rain,Rain\n" for n in range(40)))
    rows = [{"question": f"Is it {n}?", "answer": "Yes."} for n in range(40)]
    free.write_text("\n".join(map(json.dumps, rows)))
    command = ["transfer", str(model), "--out", str(tmp_path / "out"), "--store", str(tmp_path)]
    assert cli.main([*command, str(labelled), str(free), *FAST]) == 1
    told = capsys.readouterr().err
    assert "1 different labels to learn from ('Rain'), wanted 2 to 50" in told
    assert "1 different answers among" in told
    assert "transfer.candidates=2" in told


def test_what_is_forgotten_is_neither_learned_nor_asked(model, tmp_path, capsys):  # noqa: F811
    """Whole and as an answer; what was made before it was forgotten is not taken up again."""
    file, out = tmp_path / "rains.jsonl", tmp_path / "out"
    rows = [{"text": f"{n:02} rain falls on fields in the north", "label": "R"} for n in range(40)]
    file.write_text("\n".join(map(json.dumps, rows)))
    store = ["--store", str(tmp_path / "store")]
    (tmp_path / "store").mkdir()
    # one label: it ends before anything is trained, after the examples are made
    command = ["transfer", str(model), str(file), "--out", str(out), *store, *FAST]

    def texts() -> set[str]:
        assert cli.main(command) == 1
        (made,) = set((out / "runs").glob("rains-*")) - before
        before.add(made)
        ledgers.append(json.loads((made / "manifest.json").read_text())["ledger"])
        turns = pl.concat(pl.read_parquet(part) for part in made.glob("part-*.parquet"))["turns"]
        return {turn["text"] for example in turns.to_list() for turn in example}

    before, ledgers = set(), []
    gone = rows[7]["text"]
    assert any(gone in said for said in texts())
    assert cli.main(["forget", "--text", gone, *store]) == 0
    assert not any(gone in said for said in texts())
    assert [ledger["dropped"] for ledger in ledgers] == [{}, {"forgotten": 1}]
    assert ledgers[1]["kept"] == 39
    capsys.readouterr()
