"""The model registry: a version per trained model, `challenger` the newest, `champion` the best.

Registration survives a kill at any instant: run and stored model are made again if no version came
of them, the version itself appears complete in one database transaction, and what follows (aliases,
see `model.registry.champion`) is finished by the next call.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from model.evaluation.paired import DocumentCost
from model.promotion.ledger import PROMOTE, PromotionLedger
from model.registry import champion, promotion_record, stored_model, tracking
from model.registry.apart import StoredVersion as StoredVersion
from model.registry.apart import without_settings
from model.registry.champion import COMPLETE, DECISION
from model.registry.model_name import check_model_name
from model.registry.model_path import model_path, parts_of
from model.registry.model_record import EVALUATION, TRAINED_FROM, ModelRecord
from model.registry.registry_lock import registry_locked
from model.registry.relocation import local_path
from model.registry.succession import CHAMPION, at_alias
from model.registry.tracking import FINGERPRINT, RunLog, TrackingSettings
from pipeline.errors import ConfigError
from pipeline.reading.addresses import without_secrets

if TYPE_CHECKING:
    from model.registry.tracking import MlflowClient, ModelVersion

MODEL_VERSIONS = "mlflow.modelVersions"  # tag by which MLflow's UI links a stored model to versions
Score = Callable[[Path], Sequence[DocumentCost]]  # model folder -> costs of the present text


@dataclass(frozen=True)
class Registration:
    """A version, its aliases and what became of the champion before: (version, bits per byte)."""

    name: str
    version: str
    aliases: list[str]
    run_id: str
    reused: bool
    champion_before: tuple[str, float] | None
    promoted: bool
    reason: str
    verdict: str = PROMOTE  # 'promote', 'hold' or 'reject'


def register(
    settings: TrackingSettings,
    name: str,
    model_folder: Path,
    record: ModelRecord,
    score: Score,
) -> Registration:
    """Register the model in `model_folder` as a version of `name`, or reuse the version it has.

    It becomes champion if it passes every gate of `model.promotion.rule`, for which `score` scores
    the champion on the documents that this model was scored on; a champion of another corpus
    (`record.sources`) is not compared and stays. A model that was registered under another
    evaluation gets the new one, and one that is held against an earlier champion is judged anew.
    """
    check_model_name(name)
    training = record.training
    client = tracking.connect(settings)
    with registry_locked(settings):
        version = _version_of(client, name, training.fingerprint)
        reused = version is not None and COMPLETE in version.tags
        if version is None:
            tags, label = record.run_tags(), f"{name} {training.fingerprint[:8]}"
            with tracking.run_for(settings, training.fingerprint, label, tags) as run:
                record.log(run)
                version = _add_version(run, settings, name, model_folder, record)
        else:
            stored_model.repair(client, settings, version, training, model_folder)
            if version.tags.get(EVALUATION) != record.evaluation.fingerprint:
                version = _refresh(client, version, record)
        undecided = COMPLETE not in version.tags or at_alias(client, name, CHAMPION) is None
        if undecided or champion.is_outdated(client, version):
            run = RunLog(client, tracking.experiment_id(client, settings), version.run_id or "")
            number = str(version.version)

            def judge(rival: "ModelVersion") -> PromotionLedger:
                scores = score(stored_model.fetch(client, settings, rival))
                return promotion_record.judge(run, record, number, rival, scores)

            champion.apply_decision(client, version, judge)
        return _registration(client, name, str(version.version), reused)


def find(settings: TrackingSettings, name: str, fingerprint: str) -> Registration | None:
    """Return the finished registration of the model with this train fingerprint, if any."""
    check_model_name(name)
    client = tracking.connect(settings)
    version = _version_of(client, name, fingerprint)
    if version is None or COMPLETE not in version.tags:
        return None
    return _registration(client, name, str(version.version), reused=True)


def resolve(uri: str, settings: TrackingSettings | None) -> Path:
    """Return the model folder behind a path, `models:/name@alias` or `models:/name/3`.

    A version kept by a remote server is downloaded once; a path needs no `settings`. Raises
    ConfigError for another kind of address or an unknown name, ArtifactError if no textmill model
    is stored there.
    """
    return stored_version(uri, settings).folder


def stored_version(uri: str, settings: TrackingSettings | None) -> StoredVersion:
    """Return what `resolve` returns, and what is known of it; raises the same."""
    if not uri.startswith("models:"):
        return StoredVersion(model_path(uri))
    if settings is None:
        raise without_settings(uri)
    client = connect_to_read(uri, settings)
    version = version_at(client, settings, uri)
    folder = stored_model.fetch(client, settings, version)
    address = client.get_model_version_download_uri(version.name, str(version.version))
    return StoredVersion(
        folder=folder,
        number=str(version.version),
        card=version.description or "",
        remote=address if local_path(address) is None else "",
        root=folder.parents[len(stored_model.MODEL_FOLDER) - 1],
    )


def run_of(uri: str, settings: TrackingSettings) -> RunLog:
    """Return the run behind `models:/...`, to log more into; refuses what `resolve` refuses."""
    client = connect_to_read(uri, settings)
    version = version_at(client, settings, uri)
    run = client.get_run(str(version.run_id))  # textmill's versions all have one
    return RunLog(client, run.info.experiment_id, run.info.run_id)


def connect_to_read(uri: str, settings: TrackingSettings) -> "MlflowClient":
    """Connect to a store that is there; where none is, none is made."""
    parts_of(uri)  # refuses another form
    if settings.database is not None and not settings.database.exists():
        raise ConfigError(
            f"model {uri!r}: no model was ever registered here ({settings.database} does not "
            f"exist); run this where the store is, or name it: --store DIR"
        )
    return tracking.connect(settings)


def version_at(client: "MlflowClient", settings: TrackingSettings, uri: str) -> "ModelVersion":
    """Return the version behind `models:/...`; raises ConfigError with the names there are."""
    name, alias, number = parts_of(uri)
    from mlflow.exceptions import MlflowException

    try:
        if alias:
            return client.get_model_version_by_alias(name, alias)
        return client.get_model_version(name, number)
    except MlflowException as error:
        known = ", ".join(model.name for model in client.search_registered_models())
        raise ConfigError(
            f"model {uri!r}: {error.message}; {without_secrets(settings.uri)} has: "
            f"{known or 'no models yet'}"
        ) from error


def _version_of(client: "MlflowClient", name: str, fingerprint: str) -> "ModelVersion | None":
    query = f"name = '{name}' and tags.`{FINGERPRINT}` = '{fingerprint}'"
    matching_versions = client.search_model_versions(query)
    return (
        client.get_model_version(name, str(matching_versions[0].version))
        if matching_versions
        else None
    )


def _registration(client: "MlflowClient", name: str, number: str, reused: bool) -> Registration:
    version = client.get_model_version(name, number)
    decision = champion.written_decision(version)
    return Registration(
        name=name,
        version=number,
        aliases=sorted(version.aliases),
        run_id=version.run_id or "",
        reused=reused,
        champion_before=decision.champion_before,
        promoted=decision.promoted,
        reason=champion.reason_now(client, version, decision),
        verdict=decision.verdict,
    )


def _add_version(
    run: RunLog, settings: TrackingSettings, name: str, model_folder: Path, record: ModelRecord
) -> "ModelVersion":
    from mlflow.entities import LoggedModelOutput

    client = run.client
    stored = client.create_logged_model(
        run.experiment_id,
        name=name.replace(".", "_"),  # dots are allowed in names of the registry only
        source_run_id=run.run_id,
        model_type="language model",
    )
    stored_model.store(client, settings, stored, run.run_id, record.training, model_folder)
    client.finalize_logged_model(stored.model_id, "READY")
    client.log_outputs(run.run_id, [LoggedModelOutput(stored.model_id, step=0)])
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name)
    version = client.create_model_version(
        name,
        source=stored.artifact_location,
        run_id=run.run_id,
        tags={**record.tags(), **_parent_tags(client, record)},
        description=record.description,
        model_id=stored.model_id,
    )
    link = json.dumps([{"name": name, "version": version.version}])
    client.set_logged_model_tags(stored.model_id, {MODEL_VERSIONS: link})
    label = f"{name} v{version.version} {record.training.fingerprint[:8]}"
    client.update_run(run.run_id, name=label)
    return version


def _parent_tags(client: "MlflowClient", record: ModelRecord) -> dict[str, str]:
    """Return the address of the version that training went on from, where one is registered."""
    if record.trained_from is None:
        return {}
    earlier = client.search_model_versions(f"tags.`{FINGERPRINT}` = '{record.trained_from}'")
    named = [f"models:/{version.name}/{version.version}" for version in earlier]
    return {TRAINED_FROM: min(named)} if named else {}


def _refresh(
    client: "MlflowClient", version: "ModelVersion", record: ModelRecord
) -> "ModelVersion":
    """Give a version the figures of another evaluation; its place is to be decided again."""
    name, number = version.name, str(version.version)
    for tag in (COMPLETE, DECISION):
        if tag in version.tags:
            client.delete_model_version_tag(name, number, tag)
    run_id = version.run_id or ""
    log = RunLog(client, client.get_run(run_id).info.experiment_id, run_id)
    record.log_evaluation(log)
    for tag, value in record.run_tags().items():
        client.set_tag(run_id, tag, value)
    client.update_model_version(name, number, record.description)
    for tag, value in sorted(record.tags().items(), key=lambda item: item[0] == EVALUATION):
        client.set_model_version_tag(name, number, tag, value)  # the evaluation's tag comes last
    return client.get_model_version(name, number)
