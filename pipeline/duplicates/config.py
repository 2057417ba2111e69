"""What counts as a duplicate: every setting of `[dedup]`, checked when it is read."""

from dataclasses import dataclass, field

from pipeline.config_checks import AtLeast, Between, require

LONGEST_SHINGLE = 256
PASSAGE_BYTES_MAX = 1 << 20
LINE, PARAGRAPH, SUBSTRING = "line", "paragraph", "substring"
KINDS = (LINE, PARAGRAPH, SUBSTRING)


@dataclass(frozen=True)
class PassageConfig:
    """Which passages go where an earlier document has them; lengths in UTF-8 bytes, folded."""

    lines: bool = False
    paragraphs: bool = False
    substrings: bool = False
    least_line_bytes: int = 60
    least_paragraph_bytes: int = 200
    least_substring_bytes: int = 200

    def __post_init__(self) -> None:
        any_length = Between(1, PASSAGE_BYTES_MAX)
        require(
            self, "dedup.passages", least_line_bytes=any_length, least_paragraph_bytes=any_length
        )
        require(
            self,
            "dedup.passages",
            advice="shorter runs are phrases that any two texts share",
            least_substring_bytes=Between(64, PASSAGE_BYTES_MAX),
        )

    def least(self, kind: str) -> int:
        """Return the length from which a passage of this kind counts."""
        return int(getattr(self, f"least_{kind}_bytes"))

    @property
    def kinds(self) -> list[str]:
        """Return the kinds of passages that are removed."""
        chosen = {LINE: self.lines, PARAGRAPH: self.paragraphs, SUBSTRING: self.substrings}
        return [kind for kind in KINDS if chosen[kind]]


@dataclass(frozen=True)
class DedupConfig:
    """What counts as a duplicate."""

    exact: bool = True  # remove texts equal after folding
    near: bool = True  # remove texts whose shingle sets are similar
    same_address: bool = False  # remove documents of an address seen before
    address_field: str = "url"  # the record's field that holds it
    threshold: float = 0.8  # least Jaccard similarity of a near-duplicate, 0 < threshold <= 1
    words_per_shingle: int = 5  # in spaced scripts
    characters_per_shingle: int = 5  # in unspaced scripts
    # 20 x 6 misses 0.2 % of pairs at similarity 0.8 exactly, 14 x 8 misses 7.6 %; the price is
    # more candidates to verify (27 % of pairs at 0.5 instead of 5 %).
    bands: int = 20
    rows_per_band: int = 6
    neighbours: int = 32  # pairs tried per document within one bucket of equal band keys
    seed: int = 1
    passages: PassageConfig = field(default_factory=PassageConfig)
    keep_index: bool = True  # store hashes, signatures and pairs: a later run costs what changed

    def __post_init__(self) -> None:
        require(
            self,
            "dedup",
            threshold=Between(0, 1, above_low=True),
            words_per_shingle=Between(1, LONGEST_SHINGLE),
            characters_per_shingle=Between(1, LONGEST_SHINGLE),
            bands=Between(1, 256),
            rows_per_band=Between(1, 256),
            neighbours=AtLeast(1),
            seed=AtLeast(0),
        )
