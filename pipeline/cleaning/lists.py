"""What a user's own lists say of documents: blocked terms, addresses, licences, evaluation sets.

All are off until a list is given. Each check turns documents into a measure, on which `filters.py`
has a rule, and says what it found.
"""

import fnmatch
import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

import polars as pl

from pipeline.characters import UNSPACED_RANGES
from pipeline.config_checks import Between, OneOf, require
from pipeline.inputs import InputFile
from pipeline.store.source_hashes import Stamp

MISSING = ("keep", "drop")
HOST_CHARACTERS_MAX = 253  # RFC 1035; a longer one is looked up by its end


@dataclass(frozen=True)
class ListsConfig:
    """Lists of the user; a document that one of them refuses is dropped, with what was found."""

    # One term per line; whole words in spaced scripts whatever their case, parts of text in others.
    blocked_terms: tuple[InputFile, ...] = ()
    # One host name per line: the host and all below it.
    blocked_hosts: tuple[InputFile, ...] = ()
    # One word per line: addresses that hold one of them between non-letters.
    blocked_address_words: tuple[InputFile, ...] = ()
    address_field: str = "url"  # the record's field that holds its address
    allowed_licenses: tuple[str, ...] = ()  # SPDX names, * matches anything; none means all
    refused_licenses: tuple[str, ...] = ()
    missing_license: str = "keep"  # or drop
    # JSON lines (the texts of a record but its answers), or text with items between blank lines.
    evaluation_sets: tuple[InputFile, ...] = ()
    evaluation_words: int = 13  # shared words in a row that make a document contaminated

    def __post_init__(self) -> None:
        require(
            self, "clean.lists", missing_license=OneOf(MISSING), evaluation_words=Between(5, 64)
        )


def blocked_terms(texts: pl.Series, files: tuple[InputFile, ...]) -> pl.DataFrame:
    """Count blocked terms in each text (`value`) and the first of them (`detail`)."""
    return term_hits(texts, _entries(files))


def term_hits(texts: pl.Series, terms: Iterable[str]) -> pl.DataFrame:
    """Count terms in lower case in each text (`value`), and name the first one (`detail`)."""
    unspaced = sorted(term for term in terms if re.search(_PYTHON_UNSPACED, term))
    spaced = sorted(set(terms) - set(unspaced))
    found = pl.DataFrame({"text": texts}).select(
        part=_matches(pl.col("text"), unspaced), word=pl.lit(None, pl.List(pl.String))
    )
    if spaced:
        suspects = texts.str.contains_any(spaced, ascii_case_insensitive=True).arg_true()
        hits = texts.gather(suspects).str.extract_all(_word_pattern(spaced))
        rows = pl.DataFrame({"row": suspects, "word": hits})
        every = pl.DataFrame({"row": pl.Series(range(len(texts)), dtype=rows["row"].dtype)})
        words = every.join(rows, on="row", how="left", maintain_order="left")["word"]
        found = found.with_columns(words)
    both = pl.concat_list(pl.col("part").fill_null([]), pl.col("word").fill_null([]))
    return found.select(value=both.list.len().cast(pl.Float64), detail=both.list.first())


def blocked_address(addresses: pl.Series, config: ListsConfig) -> pl.DataFrame:
    """Return 1 for each blocked address (`value`), 0 for others, and the entry that blocks it."""
    hosts, words = _entries(config.blocked_hosts), _entries(config.blocked_address_words)
    pattern = "|".join(map(re.escape, sorted(words)))
    compiled = re.compile(rf"(?:^|[^a-z])({pattern})(?:[^a-z]|$)") if words else None
    entry = {url: _blocked_by(url, hosts, compiled) for url in addresses.drop_nulls().unique()}
    detail = addresses.replace_strict(entry, default=None, return_dtype=pl.String)
    value = detail.is_not_null().cast(pl.Float64)
    return pl.DataFrame({"value": value, "detail": detail})


def refused_license(licenses: pl.Series, config: ListsConfig) -> pl.DataFrame:
    """Return 1 for each licence that is not allowed (`value`), 0 for others, and the licence."""
    verdict = {name: float(_is_refused(name, config)) for name in licenses.unique()}
    value = licenses.replace_strict(verdict, default=0.0, return_dtype=pl.Float64)
    return pl.DataFrame({"value": value, "detail": licenses.fill_null("no licence stated")})


def _is_refused(license: str | None, config: ListsConfig) -> bool:
    """An expression with OR is refused if all its parts are, one with AND if any part is."""
    if license is None or not license.strip():
        return config.missing_license == "drop"
    choices = " ".join(license.strip(" ()").lower().split()).split(" or ")
    return all(
        any(_part_is_refused(part.strip(" ()"), config) for part in choice.split(" and "))
        for choice in choices
    )


def _part_is_refused(name: str, config: ListsConfig) -> bool:
    name = name.partition(" with ")[0]
    if _fits(name, config.refused_licenses):
        return True
    return bool(config.allowed_licenses) and not _fits(name, config.allowed_licenses)


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern.lower()) for pattern in patterns)


def _blocked_by(url: str, hosts: frozenset[str], words: re.Pattern[str] | None) -> str | None:
    lower = url.strip().lower()
    try:
        host = urlsplit(lower if "//" in lower else f"//{lower}").hostname or ""
    except ValueError:
        return None
    labels = host.rstrip(".")[-HOST_CHARACTERS_MAX:].split(".")
    for start in range(len(labels)):
        name = ".".join(labels[start:])
        if name in hosts:
            return name
    match = words.search(lower) if words else None
    return match[1] if match else None


def _matches(text: pl.Expr, terms: list[str]) -> pl.Expr:
    return text.str.extract_many(terms) if terms else pl.lit(None, pl.List(pl.String))


def _entries(files: tuple[InputFile, ...]) -> frozenset[str]:
    return _read_entries(tuple((file, file.stamp()) for file in files))


@functools.lru_cache(8)
def _read_entries(files: tuple[tuple[InputFile, Stamp], ...]) -> frozenset[str]:
    """Read the entries of files as they were at that time, once for all row groups."""
    return frozenset(line.split("\t")[0].strip().lower() for f, _ in files for line in f.lines())


def _word_pattern(spaced: list[str]) -> str:
    longest_first = sorted(spaced, key=len, reverse=True)
    return rf"(?i)(?-u:\b)(?:{'|'.join(map(re.escape, longest_first))})(?-u:\b)"


_PYTHON_UNSPACED = (
    "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in UNSPACED_RANGES) + "]"
)
