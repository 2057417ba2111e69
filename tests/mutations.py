"""Damage of every kind to a file, drawn with a seed: what disks, editors and copies do to files."""

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.errors import TextmillError

ODD_VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 1, 10**12, 10**400, 0.5, float("nan"), float("inf"), "", "x", "\x00",
    "é" * 99, "../../etc/passwd", [], [1], [[]], {}, {"a": 1},
)  # fmt: skip


def damaged_bytes(data: bytes, draw: random.Random, count: int) -> Iterator[bytes]:
    """Yield `count` versions: flipped bits, cuts, zeroed, doubled and foreign pieces."""
    yield from (b"", b"\0" * len(data), b"\xff\xfe" + data, data + data, b"null", b"[" * 100_000)
    for _ in range(count):
        flipped = bytearray(data)
        kind = draw.randrange(4)
        at = draw.randrange(len(data))
        length = draw.randrange(1, 64)
        if kind == 0:
            flipped[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del flipped[at:]
        elif kind == 2:
            flipped[at : at + length] = draw.randbytes(length)
        else:
            del flipped[at : at + length]
        yield bytes(flipped)


def damaged_json(data: bytes, draw: random.Random, count: int) -> Iterator[bytes]:
    """Yield `count` versions with another value, or none, at some path of keys."""
    value = json.loads(data)
    places = list(_places(value))
    for _ in range(count):
        changed = copy.deepcopy(value)
        *path, last = draw.choice(places)
        holder = changed
        for key in path:
            holder = holder[key]
        if draw.random() < 0.2:
            del holder[last]
        else:
            holder[last] = draw.choice(ODD_VALUES)
        yield json.dumps(changed).encode()


def _places(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, entry in entries:
        yield (*before, key)
        if isinstance(entry, dict | list):
            yield from _places(entry, (*before, key))


def no_file(path: Path) -> Iterator[None]:
    """Put things that are no file in a file's place, one at a time."""
    path.unlink()
    path.mkdir()
    yield
    path.rmdir()
    path.symlink_to(path.name)  # a link to itself
    yield
    path.unlink()


def outcomes(file: Path, load: Any, count: int, *, keys: bool = False, seed: int = 1) -> list[str]:
    """Damage a file in every way, load it each time, and put it back; return what was raised.

    Raises AssertionError where anything but an error of ours comes of it, or one that does not say
    which file it is about. `keys`: also change what stands at each path of keys of its JSON.
    """
    data, draw, said = file.read_bytes(), random.Random(seed), []
    versions = list(damaged_bytes(data, draw, count))
    if keys:
        versions += damaged_json(data, draw, count)
    for version in versions:
        file.write_bytes(version)
        said += _said(file, load, version)
    for _ in no_file(file):
        said += _said(file, load, b"no file")
    file.write_bytes(data)
    return said


def _said(file: Path, load: Any, version: bytes) -> list[str]:
    try:
        load()
    except TextmillError as error:
        sentence = str(error)
        assert file.name in sentence or str(file.parent) in sentence, sentence
        return [sentence]
    except Exception as error:
        raise AssertionError(f"{file.name} as {version[:2000]!r}: {error!r}") from error
    return []
