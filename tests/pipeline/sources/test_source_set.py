import os
import pickle
from pathlib import Path

import pytest

from pipeline.errors import SourceError
from pipeline.sources.source_set import Source, SourceSet

TEXT = "河水绕过磨坊。The river turns the wheel.\n"


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / "library"
    (root / "deep").mkdir(parents=True)
    (root / "b.txt").write_text(TEXT, encoding="utf-8")
    (root / "a.md").write_text(TEXT, encoding="utf-8")
    (root / "deep" / "c.jsonl").write_text('{"text": "x"}\n', encoding="utf-8")
    return root


def opened(*paths: Path | str, base: Path | None = None) -> SourceSet:
    return SourceSet.open([Source(str(path)) for path in paths], base or Path.cwd(), workers=2)


def test_a_folder_is_listed_in_order_under_its_own_name(folder):
    found = opened(folder)
    assert [f.relative for f in found.files] == ["a.md", "b.txt", "deep/c.jsonl"]
    assert {f.source_name for f in found.files} == {"library"}


def test_relative_paths_start_at_the_base(folder):
    assert opened("library", base=folder.parent) == opened(folder)


def test_the_fingerprint_follows_content_and_not_the_place(folder, tmp_path):
    before = opened(folder).fingerprint
    moved = folder.rename(tmp_path / "elsewhere")
    sources = [Source(str(moved), name="library")]
    assert SourceSet.open(sources, tmp_path).fingerprint == before
    (moved / "b.txt").write_text(TEXT.replace("wheel", "wheal"), encoding="utf-8")
    assert SourceSet.open(sources, tmp_path).fingerprint != before


def test_the_licence_is_part_of_the_fingerprint(folder):
    named = SourceSet.open([Source(str(folder), license="CC0-1.0")], folder)
    assert named.fingerprint != opened(folder).fingerprint


def test_what_is_not_read_is_listed_with_its_reason(folder):
    (folder / "photo.jpg").write_bytes(b"\xff\xd8")
    (folder / ".hidden.txt").write_text(TEXT, encoding="utf-8")
    (folder / "loop").symlink_to(folder)
    (folder / "gone.txt").symlink_to(folder / "nothing.txt")
    (folder / "self.txt").symlink_to(folder / "self.txt")
    (folder / "out.txt").symlink_to("/etc/hostname")
    (folder / "again.txt").symlink_to(folder / "a.md")
    os.mkfifo(folder / "pipe.txt")
    found = opened(folder)
    assert len(found.files) == 3
    assert {s.relative: s.reason for s in found.skipped} == {
        "photo.jpg": "unknown_type",
        "loop": "link_loop",
        "gone.txt": "dangling_link",
        "self.txt": "unreadable",
        "out.txt": "link_leaves_folder",
        "again.txt": "link_inside",
        "pipe.txt": "special_file",
    }


def test_a_pattern_matches_below_its_plain_part(folder):
    found = opened(folder / "**" / "*.jsonl")
    assert [(f.source_name, f.relative) for f in found.files] == [("library", "deep/c.jsonl")]


def test_a_pattern_that_matches_a_folder_reads_it(folder):
    assert [f.relative for f in opened(folder / "d*").files] == ["deep/c.jsonl"]


def test_files_are_named_by_their_stem(folder):
    found = opened(folder / "a.md", folder / "deep" / "c.jsonl")
    assert [f.source_name for f in found.files] == ["a", "c"]


def test_equal_names_get_the_folder_above_in_front(folder, tmp_path):
    other = tmp_path / "attic" / "library"
    other.mkdir(parents=True)
    (other / "b.txt").write_text(TEXT, encoding="utf-8")
    names = {f.source_name for f in opened(folder, other).files}
    assert names == {f"{tmp_path.name}-library", "attic-library"}


def test_one_file_named_twice_is_refused(folder):
    with pytest.raises(SourceError, match="different names"):
        opened(folder, folder)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(SourceError, match=r"nothing is at .*nowhere"):
        opened(tmp_path / "nowhere")


def test_an_empty_folder_says_what_can_be_read(tmp_path):
    with pytest.raises(SourceError, match=r"is empty.*\.jsonl"):
        opened(tmp_path)


def test_a_folder_of_unknown_kinds_lists_them(tmp_path):
    for name in ("a.jpg", "b.jpg", "c.doc"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(SourceError, match=r"\.jpg x2, \.doc x1.*read are \.txt"):
        opened(tmp_path)


def test_a_pattern_without_matches_is_refused(folder):
    with pytest.raises(SourceError, match="matches nothing"):
        opened(folder / "*.parquet")


def test_a_set_survives_pickling(folder):
    found = opened(folder)
    assert pickle.loads(pickle.dumps(found)) == found
