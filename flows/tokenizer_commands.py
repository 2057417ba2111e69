"""The command `tokenizer`: train one, or give one to other tools."""

from argparse import Namespace
from pathlib import Path
from typing import Any

from flows import stage_commands
from flows.terminal import stdout
from pipeline import storage, tokenizer_json
from pipeline.errors import ConfigError
from pipeline.tokenizer import MODEL_FILE, load_tokenizer


def tokenizer(options: Namespace) -> dict[str, Any] | None:
    """Train a tokenizer, or do what the flag given says."""
    if options.export:
        return _export(options)
    return stage_commands.tokenizer(options)


def _export(options: Namespace) -> dict[str, Any] | None:
    """Write a tokenizer as other tools read it, with the same ids for every text."""
    if len(options.input) > 1:
        raise ConfigError(f"--export: give one tokenizer, found {len(options.input)} paths")
    given, folder = Path(options.input[0]), Path(options.out)
    own = load_tokenizer(given)
    file = given / MODEL_FILE if given.is_dir() else given
    tokenizer_json.write(file.read_bytes(), folder.joinpath)
    if given.resolve() != folder.resolve():
        storage.write_bytes(folder / MODEL_FILE, file.read_bytes())
    files = [MODEL_FILE, tokenizer_json.TOKENIZER_JSON, tokenizer_json.TOKENIZER_CONFIG]
    if options.json:
        paths = {name: str(folder / name) for name in files}
        return {"vocab_size": own.vocab_size, "sha256": own.fingerprint, "files": paths}
    stdout().print(
        f"wrote {', '.join(files)} ({own.vocab_size:,} pieces) to {folder}; "
        f"AutoTokenizer.from_pretrained({str(folder)!r}) gives the same ids",
        soft_wrap=True,
    )
    return None
