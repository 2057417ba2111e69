"""The files of a registered model: stored as a pyfunc model, fetched, checked, stored again.

Beside the copied model folder lies `files.json`, the SHA-256 of each file at registration; whoever
loads the folder checks it (see `pipeline.store.artifact.check_hashes`).
"""

import importlib.metadata
import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.formats.file_names import OPTIMIZER
from model.registry.relocation import local_path
from model.registry.tracking import TrackingSettings
from pipeline.errors import ArtifactError
from pipeline.store import storage
from pipeline.store.artifact import Artifact, check_hashes, write_hashes

if TYPE_CHECKING:
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

    from model.registry.tracking import MlflowClient, ModelVersion

logger = logging.getLogger(__name__)

MODEL_FOLDER = ("artifacts", "model")  # inside a stored pyfunc model
LIBRARIES = ("mlflow", "torch", "safetensors", "sentencepiece", "numpy", "pyarrow", "polars")


def store(
    client: "MlflowClient",
    settings: TrackingSettings,
    stored: Any,
    run_id: str,
    training: Artifact,
    model_folder: Path,
) -> None:
    """Copy the model's files into MLflow's logged model `stored`, with the code that loads them."""
    with _staging(settings) as folder:
        _copy_model(training, model_folder, folder / "model")
        _save_pyfunc(folder, stored, run_id)
        client.log_model_artifacts(stored.model_id, str(folder / "pyfunc"))


def repair(
    client: "MlflowClient",
    settings: TrackingSettings,
    version: "ModelVersion",
    training: Artifact,
    model_folder: Path,
) -> None:
    """Store a version's model files again if they lie on this machine and are damaged."""
    uri = client.get_model_version_download_uri(version.name, str(version.version))
    stored = local_path(uri)
    if stored is None or not stored.is_dir():
        return
    folder = stored.joinpath(*MODEL_FOLDER)
    try:
        check_hashes(folder)
    except ArtifactError as error:
        logger.warning("models:/%s/%s is stored again: %s", version.name, version.version, error)
        with storage.whole_folder(folder) as whole:
            _copy_model(training, model_folder, whole, link=False)


def fetch(client: "MlflowClient", settings: TrackingSettings, version: "ModelVersion") -> Path:
    """Return the version's model folder, downloaded if it is not on this machine."""
    uri = client.get_model_version_download_uri(version.name, str(version.version))
    stored = local_path(uri)
    if stored is None:
        stored = settings.artifact_root / "downloads" / storage.sha256_text(uri)[:16]
        if not stored.is_dir():
            _download(settings, uri, stored)
    folder = stored.joinpath(*MODEL_FOLDER)
    if not folder.is_dir():
        raise ArtifactError(
            f"models:/{version.name}/{version.version}: no model folder at {folder}; its files "
            f"were removed or textmill did not register it; delete that version or register again"
        )
    return folder


def _download(settings: TrackingSettings, uri: str, destination: Path) -> None:
    with storage.whole_folder(destination) as whole:
        files_at(settings, uri).download_artifacts("", str(whole))


def files_at(settings: TrackingSettings, uri: str) -> "ArtifactRepository":
    """Return MLflow's access to the files below an address; paths are relative to it."""
    from mlflow.store.artifact import artifact_repository_registry

    return artifact_repository_registry.get_artifact_repository(uri, settings.uri, settings.uri)


def _copy_model(
    training: Artifact, model_folder: Path, destination: Path, *, link: bool = True
) -> None:
    """Collect the files that the manifest lists; links would share what damages one of them."""
    check_hashes(model_folder)
    files = [entry["path"] for entry in training.manifest["files"]]
    names = [
        name for name in files if name != OPTIMIZER
    ]  # twice the weights, of use to train alone
    for name in names:
        source, target = storage.inside(model_folder, name), storage.inside(destination, name)
        if link:
            storage.link_or_copy(source, target)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    write_hashes(destination, names)


def _save_pyfunc(folder: Path, stored: Any, run_id: str) -> None:
    import mlflow.pyfunc
    from mlflow.models import Model

    described = Model(
        artifact_path=stored.artifact_location,
        model_uuid=stored.model_id,
        run_id=run_id,
        model_id=stored.model_id,
    )
    with warnings.catch_warnings():
        # Advice to give an input example; the signature is given instead.
        warnings.simplefilter("ignore", UserWarning)
        from model.registry import pyfunc_model

        mlflow.pyfunc.save_model(
            path=str(folder / "pyfunc"),
            python_model=pyfunc_model.__file__,
            artifacts={pyfunc_model.MODEL_ARTIFACT: (folder / "model").as_uri()},
            signature=pyfunc_model.signature(),
            pip_requirements=requirements(),
            mlflow_model=described,
        )


def requirements() -> list[str]:
    """Return the exact versions the model was made with; textmill itself is installed apart."""
    return [f"{lib}=={importlib.metadata.version(lib).partition('+')[0]}" for lib in LIBRARIES]


@contextmanager
def _staging(settings: TrackingSettings) -> Iterator[Path]:
    """Yield an empty folder, removed afterwards or, after a kill, by the next registration."""
    folder = settings.artifact_root / ".staging"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
