"""Texts that the scan takes for sound, or for odd in white space alone, are so."""

import random

import numpy as np
import polars as pl
import pytest

from pipeline.cleaning import repair_scan
from pipeline.cleaning.normalize import NormalizeConfig, normalize

# White space of all sorts, and marks whose neighbours decide whether they are garbled.
PIECES = (
    *(" ", "  ", "\t", "\n", "\n", "\n\n", "\u3000", "\u00a0", "\u2003", "\u205f", "\u202f"),
    *("word", "A long and plain clause of English, ", "中文", "锟斤拷", "锟", "。", "—", "“", "”"),
    *("Ã", "Â", "â", "é", "©", "€", "™", "Ð", "¡", "®", "а", "Приветствие", "абв", "│", "┐"),
    *("e\u0301", "\u0301", "ｆ", "１", "ﬁ", "\ufffd", "\ufffd\ufffd", "\r\n", "\r", "\x0b", "\x85"),
    *("\u200b", "\u200d", "\ufeff", "\x00", "\x7f", "\x1b[1m", "😀", "𠀀", "한글", "ไทย", "\u2028"),
)


def normal(texts):
    after, changes = normalize(texts, NormalizeConfig())
    return after.to_list(), {name: changed.tolist() for name, changed in changes.items()}


@pytest.fixture(scope="module")
def texts():
    draw = random.Random(5)
    few = [draw.sample(PIECES, draw.randint(1, 5)) for _ in range(2500)]
    drawn = ["".join(draw.choices(some, k=draw.randint(1, 24))) for some in few]
    spaced = [(*PIECES[:11], piece) for piece in PIECES]
    drawn += ["".join(draw.choices(some, k=12)) for some in spaced for _ in range(20)]
    return pl.Series(
        "text", ["", *drawn, *(first + second for first in PIECES for second in PIECES)]
    )


def test_the_scan_changes_no_result(texts, monkeypatch):
    kinds = []

    def noted(*arguments):
        kinds.append(scan(*arguments))
        return kinds[-1]

    scan = repair_scan.needs
    monkeypatch.setattr(repair_scan, "needs", noted)
    found = normal(texts)
    assert min(np.bincount(kinds[0])) > 500, "each kind of need is drawn often"
    monkeypatch.setattr(
        repair_scan, "needs", lambda texts, *_: np.full(len(texts), repair_scan.ANY)
    )
    assert normal(texts) == found
