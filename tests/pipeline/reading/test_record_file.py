"""Records that a config names: the same from every form, packed or not, nothing passed by."""

import csv
import gzip
import io
import json

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.cleaning.decontamination import contamination
from pipeline.errors import ConfigError
from pipeline.inputs import InputFile
from pipeline.reading.cells import listed
from pipeline.reading.record_file import read_records

ASKED = "Which of these rivers flows through the old town before it reaches the northern sea?"
ROWS = [
    {"id": "one", "question": ASKED, "A": "the Elbe", "B": "the Po", "answer": "A"},
    {"id": "two", "question": "关于水边的柳树，下列说法里哪一个是正确的，请选择", "A": "甲",
     "B": "乙", "answer": "B"},
]  # fmt: skip


def written(form: str) -> bytes:
    """The rows as a file of this form."""
    suffix = form.partition(".")[0]
    if suffix == "parquet":
        file = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(ROWS), file)
        content = file.getvalue()
    elif suffix in ("csv", "semicolon", "tsv"):
        text = io.StringIO()
        mark = {"csv": ",", "semicolon": ";", "tsv": "\t"}[suffix]
        table = csv.DictWriter(text, list(ROWS[0]), delimiter=mark)
        table.writeheader()
        table.writerows(ROWS)
        content = text.getvalue().encode("gb18030" if suffix == "csv" else "utf-8")
    elif suffix == "json":
        content = json.dumps(ROWS).encode()
    else:
        content = "\n".join(map(json.dumps, ROWS)).encode()
    if form.endswith(".gz"):
        content = gzip.compress(content)
    return zstandard.compress(content) if form.endswith(".zst") else content


FORMS = ["jsonl", "json", "csv", "csv.gz", "semicolon", "tsv.zst", "parquet", "parquet.gz"]


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_records_and_finds_the_same_contamination(form, tmp_path):
    path = tmp_path / f"set.{form.replace('semicolon', 'csv')}"
    path.write_bytes(written(form))
    assert [record.fields for record in read_records(path, 1 << 20)] == ROWS
    texts = pl.Series([f"Seen in a book: {ASKED} Nobody knew.", "Something else altogether."])
    found = contamination(texts, (InputFile(str(path)),), 13)
    assert found["partner"].to_list() == ["one", None]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.xlsx", b"PK", "found '.xlsx', wanted .jsonl"),
        ("a.csv", b"text,label\na,b,c\n", "a.csv: line 2.*leave it out"),
        ("a.parquet", b"PAR1", "a.parquet: .*whole file"),
        ("a.jsonl", b'{"text": "a"}\n{"text": \n', "a.jsonl: line 2.*leave it out"),
    ],
)
def test_what_cannot_be_read_whole_is_refused_with_its_place(name, content, told, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        list(read_records(tmp_path / name, 1 << 20))


def test_lists_in_cells_are_read_as_json_and_as_pandas_writes_them():
    assert listed('["a", "b"]') == ["a", "b"]
    assert listed("[{'role': 'user', 'content': 'it\\'s'}]") == [
        {"role": "user", "content": "it's"}
    ]
    assert listed("[see the notes]") == "[see the notes]"
    assert listed(r"['\d" + "[" * 500) == r"['\d" + "[" * 500
    assert listed(" plain ") == " plain "
    assert listed(None) is None
