"""Machine code is never older than the source it was made from."""

import shutil

from pipeline import compiled


def test_an_edit_in_any_compiled_module_starts_a_new_cache(tmp_path, monkeypatch):
    for file in compiled._PACKAGE.glob("*.py"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(compiled, "_SOURCES", (tmp_path,))
    before = compiled.cache_folder()
    with (tmp_path / "ledger.py").open("a") as file:
        file.write("# compiles nothing\n")
    assert compiled.cache_folder() == before
    with (tmp_path / "characters.py").open("a") as file:
        file.write("# another helper\n")
    assert compiled.cache_folder() != before


def test_the_cache_in_use_is_that_of_the_source():
    from pipeline.cleaning import counts  # noqa: F401  compiles on import

    assert str(compiled.cache_folder()) == compiled.numba.config.CACHE_DIR
    assert any(compiled.cache_folder().rglob("*.nbi"))
