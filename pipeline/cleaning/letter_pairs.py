"""How unlike language a text's Latin letters are, told from pairs of neighbouring letters.

PAIR_BITS says how surprising each letter is after the one before it in English technical prose
(add-one smoothed counts over CPython's documentation), in half bits. English takes about 3.5
bits per pair, other languages up to seven, letters drawn or typed at random more than that.

In any language a letter tells something of the next: 0.7 bits or more in all of 412 languages,
under 0.3 in shuffled, random and encoded text. That is their mutual information, less what chance
gives tables of that size (Miller 1955). That formula fails for few pairs; there chance is what the
letters tell when they are shuffled, and the rest is scaled to what a long text would show (adjusted
mutual information, Vinh et al. 2010).
"""

import functools

import numpy as np
import polars as pl

from pipeline.characters import BYTES, OFFSETS, read_only, text_buffers
from pipeline.cleaning.eight_bytes import HIGH
from pipeline.compiled import kinds, njit
from pipeline.encoding.memory import load_word

LEAST_PAIRS = 150  # fewer say nothing
FEW_PAIRS = 1500  # up to here chance is measured
SHUFFLES = 8
ORDERLY_BITS = 4.5  # a surprise below it is that of English, whose letters are in order
LEVELS_PER_BIT = 2
NO_LETTER = 26
_ROW_BITS = 5  # of the letter that is the second of a pair
_I = kinds.int64
_TABLE = """
ta9ckheratf685tcp665bdifcm 8jbg4ppp95p6km9epbbh6ppp7p 6rbl5rr79ra7kl5hoah59rrrir
acia2ppp4npbnl9ppj8e8inncp ag86baehfsqa96nac568oce8cu 8lom8ako4okamo3ho8la6oooeo
ahgn3jb87nn8e7dhn88a6lnnnn 5rrr1prn7rrkhn6rrdleirrrjr cb9bb9btjthaa46dnc66tcthtf
fkhk0kkkkkkkkkekkkkkakkkkk bkfk1ici7kkfkdi9kc8iakckkk 6nia4blr6po6lm7hrj998hgr8r
59mm2oqq9qmlai76qicd9qqqhq 7k767g6hapmcee7ism75bdnqdn f8b8f7gsesfb94c9s5b89calnl
6qkd5lqgaqk6lj78q5e6dqoqao iiiiiiiiiiiiiiiiiiii0iiiii 6gdb4han6qiha97fsa89bifoas
bral4hpa6oicii99kp648rkrbr 7lfj5lt36ttfhm8jt89abogqat 9aad6ibq9qn676g9q766qqqqqq
3nnn2nnn6nnnfnannnlllnnnnn 7nni7nn43nndnb7nnabnnngnnk 7m4i5mmh8mmmkme4mme6mmjdgm
hgclclll8lled6a3ll65li7lll 6ggg1cgg7gggggcgggegggggeg
"""
PAIR_BITS = _TABLE.split()
_BITS = kinds.array(kinds.float64, 2, "C", readonly=True)


def letter_pairs(texts: pl.Series) -> pl.DataFrame:
    """Surprise and disorder of each text's ASCII letters (float64).

    `letter_surprise` is the mean of bits per pair; `letter_disorder` is 1 less the bits that a
    letter tells of the next, 0 if that is negative or the surprise is that of English. Both are 0
    where there are few pairs.
    """
    data, rows = text_buffers(texts.to_arrow())
    surprise, disorder = _letter_pairs(data, rows, _letters(), _bits())
    return pl.DataFrame({"letter_surprise": surprise, "letter_disorder": disorder})


@functools.cache
def _letters() -> np.ndarray:
    """Place in the alphabet of each byte of either case, NO_LETTER of all others (uint8)."""
    places = np.full(256, NO_LETTER, np.uint8)
    for first in b"aA":
        places[first : first + 26] = np.arange(26)
    return read_only(places)


@functools.cache
def _bits() -> np.ndarray:
    """Bits of the second letter after the first, 26 x 26."""
    levels = [[int(level, 36) for level in row] for row in PAIR_BITS]
    bits = np.array(levels, float) / LEVELS_PER_BIT
    bits.flags.writeable = False
    return bits


_TALLIES = kinds.array(kinds.int32, 2, "C")
_LETTERS = kinds.array(kinds.int8, 1, "C")


@njit(kinds.uniform_tuple(kinds.float64, 2)(_TALLIES, kinds.int64))
def _information(tallies, pairs):
    """Bits that a letter tells of the next by the tallies of pairs, and what chance adds to it."""
    firsts, seconds = tallies.sum(axis=1), tallies.sum(axis=0)
    total, filled = 0.0, 0
    for first in range(26):
        for second in range(26):
            tally = tallies[first, second]
            if tally:
                expected = firsts[first] * seconds[second] / pairs
                total += tally * np.log2(tally / expected)
                filled += 1
    parameters = filled - (firsts > 0).sum() - (seconds > 0).sum() + 1
    return total / pairs, parameters / (2 * pairs * np.log(2.0))


@njit(kinds.float64(_TALLIES))
def _sum_of_logs(tallies):
    """Each tally times its logarithm to base 2, summed."""
    total = 0.0
    for first in range(26):
        for second in range(26):
            tally = tallies[first, second]
            if tally > 1:
                total += tally * np.log2(np.float64(tally))
    return total


@njit(kinds.float64(_TALLIES, kinds.int64, _LETTERS, _LETTERS))
def _information_of_few(tallies, pairs, firsts, seconds):
    """The same for `pairs` pairs beyond chance; `tallies` and `seconds` are used up."""
    told, _ = _information(tallies, pairs)
    entropy = 0.0
    for tally in tallies.sum(axis=0):
        if tally:
            entropy += tally / pairs * np.log2(pairs / tally)
    # Shuffling changes neither letter's own tallies, so of the information only this sum.
    steady, chance, state = told - _sum_of_logs(tallies) / pairs, 0.0, np.uint64(1)
    for _ in range(SHUFFLES):
        for i in range(pairs - 1, 0, -1):
            state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
            j = np.int64((state >> np.uint64(33)) * np.uint64(i + 1) >> np.uint64(31))
            seconds[i], seconds[j] = seconds[j], seconds[i]
        tallies[:] = 0
        for i in range(pairs):
            tallies[firsts[i], seconds[i]] += 1
        chance += (steady + _sum_of_logs(tallies) / pairs) / SHUFFLES
    return (told - chance) * entropy / max(entropy - chance, 0.1)


_FIGURES = kinds.uniform_tuple(kinds.array(kinds.float64, 1, "C"), 2)


@njit(kinds.void(BYTES, _I, _I, BYTES, kinds.array(kinds.int32, 1, "C")))
def _tally_pairs(data, at, end, letters, tallies):
    """Count each byte's letter after the letter before it; `NO_LETTER` stands for all others."""
    before = np.int64(NO_LETTER)
    while at < end:
        if at + 8 <= end and load_word(data, at) & HIGH == HIGH:
            at, before = at + 8, np.int64(NO_LETTER)
            continue
        letter = np.int64(letters[data[at]])
        tallies[before << _ROW_BITS | letter] += 1
        before = letter
        at += 1


@njit(_I(BYTES, _I, _I, BYTES, _LETTERS, _LETTERS))
def _first_pairs(data, at, end, letters, firsts, seconds):
    """List the pairs of letters of a text, as many as there is room for; return how many."""
    pairs, before = 0, np.int64(NO_LETTER)
    while at < end and pairs < len(firsts):
        letter = np.int64(letters[data[at]])
        if before != NO_LETTER and letter != NO_LETTER:
            firsts[pairs], seconds[pairs] = before, letter
            pairs += 1
        before = letter
        at += 1
    return pairs


@njit(_FIGURES(BYTES, OFFSETS, BYTES, _BITS))
def _letter_pairs(data, rows, letters, bits):
    surprise, disorder = np.zeros(len(rows) - 1), np.zeros(len(rows) - 1)
    tallies, table = np.zeros((26, 26), np.int32), np.zeros(27 << _ROW_BITS, np.int32)
    firsts, seconds = np.empty(FEW_PAIRS, np.int8), np.empty(FEW_PAIRS, np.int8)
    for row in range(len(rows) - 1):
        table[:] = 0
        _tally_pairs(data, rows[row], rows[row + 1], letters, table)
        pairs = 0
        for first in range(26):
            for second in range(26):
                tally = table[first << _ROW_BITS | second]
                tallies[first, second] = tally
                pairs += tally
        if pairs >= LEAST_PAIRS:
            surprise[row] = (bits * tallies).sum() / pairs
        if surprise[row] > ORDERLY_BITS and pairs >= FEW_PAIRS:
            told, chance = _information(tallies, pairs)
            disorder[row] = max(0.0, 1.0 - told + chance)
        elif surprise[row] > ORDERLY_BITS:
            _first_pairs(data, rows[row], rows[row + 1], letters, firsts, seconds)
            told = _information_of_few(tallies, pairs, firsts, seconds)
            disorder[row] = min(max(0.0, 1.0 - told), 1.0)
    return surprise, disorder
