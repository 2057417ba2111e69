"""Where a secret got to: every file of a folder, tables cell by cell, in every usual spelling."""

import base64
from pathlib import Path
from urllib.parse import quote

import polars as pl


def leaks(folder: Path, secrets: tuple[str, ...]) -> list[str]:
    """Return 'file: spelling' of each secret found below a folder."""
    spellings = {form for secret in secrets for form in _spellings(secret)}
    found = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content += repr(pl.read_parquet(path, glob=False).to_dicts()).encode()
        found += [f"{path}: {form}" for form in spellings if form.encode() in content]
    return found


def _spellings(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode().rstrip("=")}
