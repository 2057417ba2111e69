"""Recipes that people saved with other editors than ours."""

import pytest

from flows.recipe_file import read_recipe
from pipeline.errors import ConfigError

LINES = ('name = "磨坊"', "# 语料在上一级的文件夹里", "[ingest]", 'text_field = "正文"', "")
RECIPE = "\r\n".join(LINES)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_a_recipe_is_read_in_the_encoding_it_is_in(tmp_path, encoding):
    file = tmp_path / "mill.toml"
    file.write_bytes(RECIPE.encode(encoding))
    table, folder = read_recipe(str(file))
    assert table == {"name": "磨坊", "ingest": {"text_field": "正文"}}
    assert folder == tmp_path


def test_a_recipe_that_is_no_text_is_refused_by_name(tmp_path):
    file = tmp_path / "mill.toml"
    file.write_bytes(bytes(range(128, 256)) * 8)
    with pytest.raises(ConfigError, match=r"mill\.toml.*save it as UTF-8"):
        read_recipe(str(file))
