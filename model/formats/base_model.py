"""The model folder that fine-tuning and transfer start from, as a parent of their stages."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.formats.file_names import CONFIG, TOKENIZER, WEIGHTS
from pipeline.errors import ConfigError
from pipeline.store import integrity, storage
from pipeline.store.artifact import check_hashes

BASE_MODEL = "model"  # the stage by which it is named among parents


@dataclass(frozen=True)
class BaseModel:
    """The model folder that fine-tuning starts from; its content is its identity."""

    path: Path

    @property
    def stage(self) -> str:
        """The name under which it is a parent."""
        return BASE_MODEL

    @property
    def fingerprint(self) -> str:
        """Hash of configuration, weights and tokenizer."""
        files = (CONFIG, WEIGHTS, TOKENIZER)
        for name in files:
            if not (self.path / name).is_file():
                raise ConfigError(
                    f"{self.path}: not a model folder, {name} is missing; give the artifact of "
                    f"`train` or models:/NAME@champion"
                )
        check_hashes(self.path)
        paths = [self.path / name for name in files]
        hashes = [sha256 for _, sha256 in integrity.hashed(paths, self.path)]
        return content_fingerprint(dict(zip(files, hashes, strict=True)))


def content_fingerprint(hashes: Mapping[str, str]) -> str:
    """Return a model's identity by SHA-256 of its files; others than the three do not count."""
    content = {name: hashes[name] for name in (CONFIG, WEIGHTS, TOKENIZER)}
    return storage.sha256_text(storage.canonical_json(content))
