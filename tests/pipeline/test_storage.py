"""Whole files or none, and no way out of a folder."""

import pytest

from pipeline import storage
from pipeline.errors import ConfigError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    storage.write_bytes(path, b"old")

    def write_half():
        with storage.whole_file(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("name", ["../b", "/etc/passwd", "a/../../b"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ConfigError, match="leaves the folder"):
        storage.inside(tmp_path, name)


def test_a_link_that_leaves_the_folder_is_refused(tmp_path):
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="leaves the folder"):
        storage.inside(tmp_path / "root", "link", "b")


def test_equal_values_are_equal_bytes(tmp_path):
    storage.write_json(tmp_path / "a", {"b": 1, "a": "中"})
    storage.write_json(tmp_path / "b", {"a": "中", "b": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert storage.read_json(tmp_path / "a") == {"a": "中", "b": 1}
