"""Where a document went: `textmill trace` on an id, a file, an address or a text, as one value."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flows.provenance.training_reads import READ, TrainingReads, VersionReads
from flows.settings import Settings
from flows.steps import tracking_settings
from model.registry.version_list import registered_versions
from pipeline.errors import ConfigError
from pipeline.store.artifact import MAIN, Artifact
from pipeline.tracing.catalog import Catalog
from pipeline.tracing.documents import Documents, Found, record_at
from pipeline.tracing.following import follow, name_of
from pipeline.tracing.passages import holding_piece

BY_ID, BY_FILE, BY_ADDRESS, BY_TEXT, BY_PIECE = "id", "file", "address", "text", "piece of text"
WEB = ("http://", "https://")
FORM = 1  # of the JSON


@dataclass(frozen=True)
class Answer:
    """What was asked, how it was found, and the documents as (place, content) of their rows."""

    what: str
    by: str
    found: list[Found]
    quarantined: list[dict[str, Any]]


@dataclass(frozen=True)
class Tracer:
    """Answers about one store; what several documents need is read once."""

    settings: Settings

    def __post_init__(self) -> None:
        if not self.settings.store.is_dir():
            raise ConfigError(
                f"store {self.settings.store}: is not there; name the store to look in: --store DIR"
            )

    @cached_property
    def catalog(self) -> Catalog:
        """The store's artifacts."""
        return Catalog.open(self.settings.store)

    @cached_property
    def documents(self) -> Documents:
        """The index of what was ingested."""
        return Documents.open(self.settings.store, self.catalog)

    def ask(self, what: str) -> Answer:
        """Find documents by address, id, or file, whichever `what` is."""
        if what.startswith(WEB):
            found = self.documents.by_address(what)
            if found:
                return Answer(what, BY_ADDRESS, found, [])
        found = self.documents.by_id(what)
        if found:
            return Answer(what, BY_ID, found, [])
        found, aside = self.documents.by_file(what), self.documents.quarantined(what)
        return Answer(what, BY_FILE if found or aside else BY_ID, found, aside)

    def ask_text(self, text: str, limit: int) -> Answer:
        """Find documents that say a text and no more, else those (up to `limit`) that hold it."""
        found = self.documents.by_text(text)
        if found:
            return Answer(text, BY_TEXT, found, [])
        main = {k: p for k, p in self.documents.parts.items() if p.parent.name != "quarantine"}
        pieces: list[Found] = []
        for part, row in holding_piece(main, text):
            if len({piece.record["id"] for piece in pieces}) >= limit:
                break
            pieces.append(Found(part, row, record_at(main[part], row)))
        return Answer(text, BY_PIECE, pieces, [])

    def trace(self, answer: Answer, limit: int) -> dict[str, Any]:
        """Return where the documents of an answer went, the first `limit` of them in detail."""
        by_document: dict[tuple[str, int | str], list[Found]] = {}
        for found in answer.found:
            by_document.setdefault((found.record["id"], found.record["bytes"]), []).append(found)
        chosen = list(by_document.values())[:limit]
        return {
            "form": FORM,
            "what": answer.what,
            "by": answer.by,
            "documents_found": len(by_document),
            "documents": [self.document(places) for places in chosen],
            "quarantined": answer.quarantined,
            "looked_through": self._looked_through(),
        }

    def _looked_through(self) -> dict[str, int]:
        ingested = self.catalog.of("ingest")
        most = max((artifact.rows for artifact in ingested), default=0)
        return {"ingest_artifacts": len(ingested), "documents_of_the_largest": most}

    def document(self, places: Sequence[Found]) -> dict[str, Any]:
        """Return origin, ways and readers of one document, the newest corpus first."""
        corpora = [corpus for found in places for corpus in self._corpora(found)]
        order = {name_of(artifact): n for n, artifact in enumerate(self.catalog.of("ingest"))}
        corpora.sort(key=lambda corpus: order[corpus["artifact"]])
        ways = [way for corpus in corpora for way in corpus["ways"]]
        trainings = [training for way in ways for training in way["trainings"]]
        shards = [way["shards"] for way in ways if way["shards"]]
        return {
            **places[0].record,
            "file": corpora[0]["file"],
            "corpora": corpora,
            "versions": VersionReads(self._versions, self.catalog).of(trainings, shards),
            "read_by_any": any(training["fate"] == READ for training in trainings),
        }

    def _corpora(self, found: Found) -> Iterator[dict[str, Any]]:
        """Yield each ingest artifact that has the part, and the ways from there."""
        for artifact in self.catalog.of("ingest"):
            digests = artifact.part_digests(MAIN)
            if found.part not in digests:
                continue
            number, record = digests.index(found.part), found.record
            yield {
                "artifact": name_of(artifact),
                "part": artifact.parts()[number].name,
                "row": found.row,
                "file": self.documents.file_record(artifact, record["source"], record["path"]),
                "ways": self._ways(artifact, number, record["id"]),
            }

    def _ways(self, artifact: Artifact, number: int, document: str) -> list[dict[str, Any]]:
        ways = []
        for steps in follow(self.catalog, artifact, number, document):
            last = steps[-1] if steps else {}
            trainings: list[dict[str, Any]] = []
            shards = self._artifact(last["artifact"]) if last.get("rows") else None
            if shards is not None:
                trainings = self._reads.of_shards(shards, last["rows"])
            for step in steps:
                if step.get("partner"):
                    step["partner_origin"] = self._origin(step["partner"])
            fingerprint = shards.fingerprint if shards else None
            ways.append({"stages": steps, "shards": fingerprint, "trainings": trainings})
        return ways

    def _origin(self, document: str) -> dict[str, Any] | None:
        """Return source, path and position of the document that another one is a copy of."""
        found = self.documents.by_id(document)
        names = ("source", "path", "position")
        return {name: found[0].record[name] for name in names} if found else None

    def _artifact(self, name: str) -> Artifact:
        stage, folder = name.split("/")
        return next(a for a in self.catalog.of(stage) if a.path.name == folder)

    @cached_property
    def _reads(self) -> TrainingReads:
        return TrainingReads(self.catalog)

    @cached_property
    def _versions(self) -> list[Any]:
        return registered_versions(tracking_settings(self.settings))
