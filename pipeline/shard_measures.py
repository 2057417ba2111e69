"""What cleaning measures of a text, kept beside its tokens: what a curriculum may go by.

The texts are measured as they are when they become tokens, so passages that were taken out after
cleaning do not count, and text that was never cleaned has measures too.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError
from pipeline.schema import UNKNOWN_LANGUAGE, column

if TYPE_CHECKING:
    from pipeline.cleaning.measures import Measure

PREFIX = "measure_"  # of the columns' names


def check_measures(names: Sequence[str], where: str, others: Sequence[str] = ()) -> None:
    """Raise ConfigError unless all names are among `others` or cleaning's measures, none twice."""
    unknown_candidates = [name for name in names if name not in others]
    known = [*others, *(_known() if unknown_candidates else ())]
    unknown = [name for name in unknown_candidates if name not in known]
    if unknown:
        raise ConfigError(f"{where}: {unknown[0]!r}, wanted one of {', '.join(known)}")
    if len({*names}) < len(names):
        raise ConfigError(f"{where}: {', '.join(names)}; name each measure once")


def measure_fields(names: Sequence[str]) -> list[pa.Field]:
    """Return the columns of the SHARD contract for these measures."""
    known = _known() if names else {}
    return [column(PREFIX + name, pa.float64(), known[name].meaning) for name in names]


def measured(documents: pa.Table, names: Sequence[str]) -> dict[str, pa.Array]:
    """Return those columns for documents (text, lang)."""
    if not names:
        return {}
    import polars as pl

    from pipeline.cleaning.measures import measure

    langs = pc.fill_null(documents["lang"], UNKNOWN_LANGUAGE)
    measures = measure(pl.Series(documents["text"]), pl.Series(langs))
    return {PREFIX + name: measures[name].to_arrow() for name in names}


def _known() -> "dict[str, Measure]":
    # Imported here: shards are read where nothing is measured, and its loops take time to load.
    from pipeline.cleaning.measures import MEASURES

    return MEASURES
