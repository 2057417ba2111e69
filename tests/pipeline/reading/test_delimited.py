"""Tables with stray quotes and odd headers: every row is kept or set aside by name."""

import csv
import gzip
import io
import random

import pytest

from pipeline.reading import held_lines
from pipeline.reading.records import Record, UnreadableRecord
from tests.pipeline.ingesting import TEXTS
from tests.pipeline.reading.test_readers import entries, reasons, texts, write

DELIMITERS = {".csv": ",", ".tsv": "\t", ".semicolon.csv": ";"}


def lines_of(count: int, delimiter: str = ",") -> list[str]:
    return [f"{i}{delimiter}The miller weighed sack number {i} at noon." for i in range(count)]


def table(lines: list[str], delimiter: str = ",") -> bytes:
    return ("\n".join([f"id{delimiter}text", *lines]) + "\n").encode()


@pytest.mark.parametrize("suffix", DELIMITERS)
@pytest.mark.parametrize("row", [0, 5, 38, 39])
def test_an_unclosed_quote_costs_its_own_row_alone(tmp_path, suffix, row):
    delimiter = DELIMITERS[suffix]
    lines = lines_of(40, delimiter)
    lines[row] = f'{row}{delimiter}"Begun in quotes and never ended'
    packed = gzip.compress(table(lines, delimiter))
    found = entries(write(tmp_path / f"a{suffix}.gz", packed))
    kept = [r.fields["id"] for r in found if isinstance(r, Record)]
    assert len(found) == 40
    assert set(map(str, range(40))) - set(kept) <= {str(row)}
    if suffix != ".tsv":  # there the quotes are text
        assert reasons(found) == ["unclosed_quote"]
        assert f"line {row + 2}" in next(e for e in found if isinstance(e, UnreadableRecord)).detail


def test_several_unclosed_quotes_among_quoted_rows(tmp_path):
    lines = [f'{i},"Sack ""{i}"" was weighed, and\nmarked."' for i in range(60)]
    for row in (3, 20, 21, 59):
        lines[row] = f'{row},"Sack {row} was never weighed'
    found = entries(write(tmp_path / "a.csv", table(lines)))
    assert reasons(found) == ["unclosed_quote"] * 4
    assert texts(found) == [
        f'Sack "{i}" was weighed, and\nmarked.' for i in range(60) if i not in (3, 20, 21, 59)
    ]


def test_a_stray_quote_that_a_later_stray_one_closes_swallows_no_row(tmp_path):
    lines = lines_of(40)
    lines[5] = '5,"Begun in quotes'
    lines[30] = '30,A plank of 10"'
    found = entries(write(tmp_path / "a.csv", table(lines)))
    assert reasons(found) == ["unclosed_quote"]
    assert len(texts(found)) == 39


def test_quotes_inside_a_field_are_text(tmp_path):
    lines = ['1,"He said "grind" and left"', '2,A plank of 10" by 5"', '3,"plain"']
    found = entries(write(tmp_path / "a.csv", table(lines)))
    assert texts(found) == ['He said "grind" and left', 'A plank of 10" by 5"', "plain"]


def test_cells_that_hold_lines_tables_and_quotes_stay_one(tmp_path):
    cells = [
        "x,y\n1,2\n3,4",
        "7,8\n9,10",
        'He wrote:\n"Grind, slowly."\n\nThen he left.',
        "\n".join(TEXTS[:20]),
        '"',
        ",\n,",
    ]
    file = io.StringIO()
    rows = csv.writer(file, lineterminator="\r\n")
    rows.writerow(["id", "text"])
    rows.writerows([i, f"row {i}"] for i in range(5))
    rows.writerows([i, cell] for i, cell in enumerate(cells, 5))
    found = entries(write(tmp_path / "a.csv", file.getvalue().encode()))
    assert texts(found)[5:] == cells
    assert not reasons(found)


def test_what_the_csv_module_writes_is_read_back_whatever_it_holds(tmp_path):
    dice = random.Random(5)
    pieces = ['"', '""', ",", "\n", "\r\n", "磨坊", "sack", " ", ";", "\t", "1,2\n3,4"]
    cells = ["".join(dice.choices(pieces, k=dice.randint(1, 12))) + "." for _ in range(400)]
    for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL):
        file = io.StringIO()
        rows = csv.writer(file, quoting=quoting)
        rows.writerows([["text", "id"], *([cell, i] for i, cell in enumerate(cells))])
        found = entries(write(tmp_path / "a.csv", file.getvalue().encode()))
        assert texts(found) == cells


def test_a_cell_over_the_limit_is_one_broken_row_and_an_open_quote_is_another(tmp_path):
    prose = "\n".join(f"Paragraph {i}; it is no row." for i in range(300))
    lines = ["1,good", f'2,"{prose}"', "3,good", '4,"open', *lines_of(400)[5:]]
    found = entries(write(tmp_path / "a.csv", table(lines)), record_bytes_max=4000)
    assert reasons(found) == ["record_too_large", "unclosed_quote"]
    assert texts(found)[:2] == ["good", "good"]
    assert len(texts(found)) == 2 + 395


def test_a_table_cut_inside_a_cell_loses_that_row_alone(tmp_path):
    prose = "\n".join(f"Paragraph {i}; it is no row." for i in range(300))
    found = entries(write(tmp_path / "a.csv", table(["1,good", f'2,"{prose}'])))
    assert (texts(found), reasons(found)) == (["good"], ["unclosed_quote"])


def test_many_open_quotes_are_read_past_in_linear_work(tmp_path, monkeypatch):
    taken = []
    real = held_lines.HeldLines.take
    monkeypatch.setattr(held_lines.HeldLines, "take", lambda s: taken.append(1) or real(s))
    lines = ['"""open'] * 5000
    found = entries(write(tmp_path / "a.csv", b"text\n" + "\n".join(lines).encode()), 1 << 14)
    assert len(found) == 5000
    assert len(taken) < 60_000


HEADERS = {
    "Excel's first line": ("sep=;\r\nid;text\r\n1;one, two\r\n", "1", "one, two"),
    "another case": ("ID,Text\n1,one\n", "1", "one"),
    "spaces after commas": ('id, text\n1, "one, two"\n', "1", "one, two"),
    "a byte order mark": ("\ufeffid,text\n1,one\n", "1", "one"),
    "a stray quote": ('id,"text\n1,one\n', "1", "one"),
}


@pytest.mark.parametrize("form", HEADERS)
def test_headers_as_programs_write_them(tmp_path, form):
    content, identifier, text = HEADERS[form]
    (found,) = entries(write(tmp_path / "a.csv", content.encode()))
    assert found.fields == {"id": identifier, "text": text}


def test_columns_of_one_name_are_both_kept(tmp_path):
    (found,) = entries(write(tmp_path / "a.csv", b"text,note,note\none,a,b\n"))
    assert found.fields == {"text": "one", "note": "a", "note_2": "b"}


def test_a_missing_text_column_is_advised_by_what_is_there(tmp_path):
    (damage,) = entries(write(tmp_path / "a.csv", b"id,Body\n1,one\n"))
    assert "--set ingest.text_field=Body" in damage.detail
