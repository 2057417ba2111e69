"""Makes what serves a model: `python -m model.serve.engines.prepare_worker FOLDER OUT PRECISION`.

A process of its own, so that the server never holds what making takes: torch and the weights.
`prepared.py` starts it and reads what it leaves.
"""

import sys
from dataclasses import asdict
from pathlib import Path

from model.export.export import ExportSettings, export_model
from model.export.export_card import Exported
from model.formats import model_folder
from model.network.families import family_of
from model.serve.engines.engine_options import AUTO, FULL, INT8
from model.serve.engines.prepared import PreparedModel
from pipeline.errors import TextmillError
from pipeline.store import storage
from pipeline.store.artifact import write_hashes

NAME = "model"
# Eight bits are chosen where the export's comparison finds them this near to the model: mean nats
# per position over its texts, and every greedy choice the same.
DIVERGENCE_MAX = 1e-3


def main() -> None:
    """Write the model's file for llama.cpp and what `PreparedModel` says, into an empty folder."""
    folder, out, precision = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    network = model_folder.read(folder)
    family, config = family_of(network), network.config
    prepared = PreparedModel(
        family=config.family,
        context=config.context,
        generates=family.generates,
        reads_source=family.reads_source,
        chats=model_folder.taught_to_chat(folder),
        # keys and values of 16 bits
        cache_bytes=config.layers * config.kv_heads * config.head_width * 2 * 2,
        file="",
        precision="",
        reason="",
    )
    if not family.is_causal:
        reason = f"llama.cpp serves decoders, this model is of the family {config.family!r}"
        _write(out, prepared, reason=reason)
        return
    try:
        file, used, reason = _export(folder, out, precision)
    except TextmillError as error:
        _write(out, prepared, reason=str(error))
        return
    _write(out, prepared, file=file, precision=used, reason=reason)


def _export(folder: Path, out: Path, precision: str) -> tuple[str, str, str]:
    """Export, compare and choose: return the file, its precision and why it was chosen."""
    both = precision in (AUTO, INT8)
    settings = ExportSettings(name=NAME, precision=FULL if both else precision, int8=both)
    files = export_model(folder, ["gguf"], out / "gguf", settings)
    chosen, reason = _chosen(files, precision)
    for exported in files:
        if exported is not chosen:
            (out / "gguf" / exported.file).unlink()
    return f"gguf/{chosen.file}", chosen.precision, reason


def _chosen(files: list[Exported], precision: str) -> tuple[Exported, str]:
    by_precision = {exported.precision: exported for exported in files}
    if precision != AUTO:
        return by_precision[precision], "as asked"
    comparison = by_precision[INT8].comparison
    if comparison is None:
        return by_precision[FULL], "8 bits were not compared with the model"
    found = (
        f"8 bits diverge by {comparison.divergence:.1e} nats, "
        f"{comparison.same_choices} of {comparison.choices} greedy choices the same"
    )
    near = comparison.divergence <= DIVERGENCE_MAX
    same = comparison.same_choices == comparison.choices
    return by_precision[INT8 if near and same else FULL], found


def _write(out: Path, prepared: PreparedModel, **chosen: str) -> None:
    """Write what was found, with the hashes of everything."""
    storage.write_json(out / PreparedModel.NOTE, asdict(prepared) | chosen)
    names = [path.relative_to(out).as_posix() for path in sorted(out.rglob("*")) if path.is_file()]
    write_hashes(out, names)


if __name__ == "__main__":
    main()
