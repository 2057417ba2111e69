"""Lists that a config names."""

import pytest

from pipeline.errors import ConfigError
from pipeline.inputs import InputFile

TERMS = ["网络赌博", "代开发票", "提供各种证件办理", "click here"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030", "utf-16"])
def test_a_list_is_read_in_the_encoding_it_is_in(tmp_path, encoding):
    file = tmp_path / "terms.txt"
    file.write_bytes("\r\n".join(["# 屏蔽词的列表", *TERMS, ""]).encode(encoding))
    assert InputFile(str(file)).lines() == TERMS


def test_a_list_with_broken_bytes_is_refused(tmp_path):
    file = tmp_path / "terms.txt"
    file.write_bytes("\n".join(TERMS * 50).encode() + b"\xe4\xb8")
    with pytest.raises(ConfigError, match=r"terms\.txt.*save it as UTF-8"):
        InputFile(str(file)).lines()
