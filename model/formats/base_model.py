"""The model folder that fine-tuning and transfer start from, as a parent of their stages."""

from dataclasses import dataclass
from pathlib import Path

from model.formats import model_folder
from pipeline.errors import ConfigError
from pipeline.store import integrity, storage
from pipeline.store.artifact import check_hashes


@dataclass(frozen=True)
class BaseModel:
    """The model folder that fine-tuning starts from; its content is its identity."""

    path: Path

    @property
    def stage(self) -> str:
        """The name under which it is a parent."""
        return "model"

    @property
    def fingerprint(self) -> str:
        """Hash of configuration, weights and tokenizer."""
        files = (model_folder.CONFIG, model_folder.WEIGHTS, model_folder.TOKENIZER)
        for name in files:
            if not (self.path / name).is_file():
                raise ConfigError(
                    f"{self.path}: not a model folder, {name} is missing; give the artifact of "
                    f"`train` or models:/NAME@champion"
                )
        check_hashes(self.path)
        paths = [self.path / name for name in files]
        hashes = [sha256 for _, sha256 in integrity.hashed(paths, self.path)]
        content = dict(zip(files, hashes, strict=True))
        return storage.sha256_text(storage.canonical_json(content))
