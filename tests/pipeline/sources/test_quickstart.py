import io
import json
import tarfile
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.sources import quickstart
from pipeline.sources.builtin import docstring_records
from pipeline.sources.quickstart import (
    builtin_folder,
    cut_at_headings,
    fetch_quickstart,
    manual_records,
)
from pipeline.sources.source_set import Source, SourceSet

PAGE = "# 手册\n开头。\n## 安装\n```\n## 不是标题\n```\n装好了。\n## 使用\n用起来。\n"


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture(scope="module")
def builtin(tmp_path_factory) -> Path:
    return builtin_folder(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def small_builtin(monkeypatch):
    """Parsing the standard library takes seconds; most tests here are not about it."""

    def write(folder: Path) -> None:
        (folder / "python.en.jsonl").write_text('{"text": "def"}\n')

    monkeypatch.setattr(quickstart, "builtin_corpus", write)


def records(folder: Path) -> list[dict]:
    files = sorted(folder.glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().split(b"\n") if line]


def test_builtin_documents_carry_language_and_licence(builtin):
    found = records(builtin)
    assert {(r["lang"], r["license"]) for r in found} == {("en", "PSF-2.0"), ("zh", "Apache-2.0")}
    assert len({r["id"] for r in found}) == len(found)
    assert sum(len(r["text"].encode()) for r in found) > 1_500_000


def test_builtin_text_is_the_same_every_time(builtin, tmp_path):
    again = builtin_folder(tmp_path)
    for file in builtin.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes()


def test_chinese_samples_are_varied_short_documents(builtin):
    texts = [r["text"] for r in records(builtin) if r["lang"] == "zh"]
    assert len(texts) >= 45
    assert all(120 <= len(text) <= 300 for text in texts)
    assert len({text[:12] for text in texts}) == len(texts)


def test_docstrings_come_in_source_order_and_broken_modules_are_left_out(tmp_path):
    functions = 'def b():\n    "B."\n    def c():\n        "C."\ndef d():\n    "D."\n'
    module = f'"""Module. {"x" * 400}"""\n' + functions
    (tmp_path / "good.py").write_text(module)
    (tmp_path / "bad.py").write_text(f'"""{"x" * 500}"""\ndef (:\n')
    (found,) = docstring_records(tmp_path)
    assert found["id"] == "python-docstrings/good.py"
    assert found["text"].endswith("B.\n\nC.\n\nD.")


@pytest.mark.usefixtures("small_builtin")
def test_without_a_registry_the_builtin_text_is_used_and_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    said: list[str] = []
    folder = fetch_quickstart(tmp_path, said.append)
    assert folder == builtin_folder(tmp_path)
    assert any("pip could not fetch" in line for line in said)
    assert "built-in" in said[-1]
    assert not list(tmp_path.glob("quickstart-*"))


@pytest.mark.usefixtures("small_builtin")
def test_without_pip_the_builtin_text_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(quickstart.importlib.util, "find_spec", lambda name: None)
    said: list[str] = []
    assert fetch_quickstart(tmp_path, said.append).name.startswith("builtin-")
    assert any("ensurepip" in line for line in said)


@pytest.mark.usefixtures("small_builtin")
def test_a_fetched_corpus_is_kept_and_leftovers_of_a_killed_fetch_go(tmp_path, monkeypatch):
    pages = {"p-1/docs/a.md": PAGE.encode(), "p-1/docs/a.en.md": b"# Manual\nIt starts.\n"}
    made = archive(tmp_path / "p.tar.gz", pages)
    monkeypatch.setattr(quickstart, "_archive", lambda cache, log: made)
    (tmp_path / "cache" / ".building-killed").mkdir(parents=True)
    folder = fetch_quickstart(tmp_path / "cache", print)
    assert not list((tmp_path / "cache").glob(".building-*"))
    monkeypatch.setattr(quickstart, "_archive", lambda cache, log: pytest.fail("fetched again"))
    assert fetch_quickstart(tmp_path / "cache", print) == folder
    assert {"zh", "en"} == {
        r["lang"] for r in records(folder) if r.get("source") == "paddlex-manuals"
    }


def test_a_tampered_archive_is_refused(tmp_path, monkeypatch):
    def download(folder: Path) -> str:
        archive(folder / quickstart.ARCHIVE, {"p-1/a.md": b"other"})
        return ""

    monkeypatch.setattr(quickstart, "_download", download)
    with pytest.raises(SourceError, match="SHA-256"):
        fetch_quickstart(tmp_path, print)
    assert not list(tmp_path.glob("quickstart-*"))


@pytest.mark.parametrize("name", ["p-1/../../evil.md", "/etc/evil.md"])
def test_a_name_that_leaves_the_archive_is_refused(tmp_path, name):
    with pytest.raises(SourceError, match="leaves"):
        list(manual_records(archive(tmp_path / "a.tar.gz", {name: b"x"})))


def test_links_and_hidden_files_of_an_archive_are_not_read(tmp_path):
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        link = tarfile.TarInfo("p-1/link.md")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        tar.addfile(link)
        tar.addfile(tarfile.TarInfo("p-1/.github/template.md"))
    assert list(manual_records(tmp_path / "a.tar.gz")) == []


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(quickstart, "UNPACKED_BYTES_MAX", 1000)
    with pytest.raises(SourceError, match="1000 bytes"):
        list(manual_records(archive(tmp_path / "a.tar.gz", {"p-1/a.bin": b"x" * 2000})))


def test_pages_are_cut_at_headings_outside_code():
    parts = cut_at_headings(PAGE, part_bytes=40)
    assert "".join(parts) == PAGE
    assert [part.split("\n")[0] for part in parts] == ["# 手册", "## 安装", "## 使用"]
    assert cut_at_headings(PAGE, part_bytes=10_000) == [PAGE]


@pytest.mark.usefixtures("small_builtin")
def test_schemes_are_sources(tmp_path, monkeypatch):
    monkeypatch.setenv("TEXTMILL_CACHE", str(tmp_path))
    found = SourceSet.open([Source("builtin:")], tmp_path)
    assert {f.source_name for f in found.files} == {"builtin"}
    assert [f.relative for f in found.files] == ["python.en.jsonl"]
