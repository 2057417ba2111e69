"""Tables on disk: every column of every contract is packed as it is meant to be."""

import importlib
import pkgutil
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import model
import pipeline
from pipeline.schema import Contract, shard_contract
from pipeline.store.artifact import MAIN
from pipeline.store.sink import Sink


def contracts() -> dict[str, Contract]:
    """Return every contract that a module holds, by its label."""
    found = {"shard v2": shard_contract(800)}
    for package in (pipeline, model):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.rpartition(".")[2] != "__main__":
                values = vars(importlib.import_module(module.name)).values()
                found |= {value.label: value for value in values if isinstance(value, Contract)}
    return found


def example(kind: pa.DataType) -> Any:
    if pa.types.is_struct(kind):
        return {field.name: example(field.type) for field in kind}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [example(kind.value_type)]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "a"
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return b"a"
    return True if pa.types.is_boolean(kind) else 1


def written(contract: Contract, rows: list[dict[str, Any]], folder) -> pq.FileMetaData:
    sink = Sink(folder, 0, {MAIN: contract}, counts_rows=False)
    sink.write(MAIN, pa.Table.from_pylist(rows, schema=contract.schema))
    sink.close()
    [entry] = sink.result.files[MAIN]
    return pq.read_metadata(folder / entry["path"])


@pytest.fixture(scope="module")
def known():
    return contracts()


def test_every_column_is_packed_unless_it_is_random(known, tmp_path):
    assert len(known) > 20
    for label, contract in known.items():
        row = {field.name: example(field.type) for field in contract.schema}
        group = written(contract, [row], tmp_path / label).row_group(0)
        for at in range(group.num_columns):
            column = group.column(at)
            name = column.path_in_schema.partition(".")[0]
            wanted = "UNCOMPRESSED" if name in contract.random else "ZSTD"
            assert column.compression == wanted, (label, column.path_in_schema)
            if name in contract.random:
                assert "RLE_DICTIONARY" not in column.encodings, (label, name)


def test_token_ids_take_less_than_half_of_their_bytes(tmp_path):
    text = "桃花源记 the quick brown fox " * 40
    ids = [ord(character) % 800 for character in text]
    row = {"id": "a", "source": "s", "lang": "zh", "split": "train", "offset": 0, "bytes": 1}
    metadata = written(shard_contract(800), [row | {"tokens": ids}] * 50, tmp_path)
    columns = [metadata.row_group(0).column(at) for at in range(metadata.num_columns)]
    [tokens] = [column for column in columns if column.path_in_schema.startswith("tokens")]
    assert "BYTE_STREAM_SPLIT" in tokens.encodings
    assert tokens.total_compressed_size < len(ids) * 50 * 2 / 2
