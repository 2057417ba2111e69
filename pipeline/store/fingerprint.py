"""What an artifact is made of, hashed: same fingerprint, same bytes.

The ingredients are kept in the manifest, so that two fingerprints can be compared word by word
instead of only being found unequal (`textmill explain`).
"""

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import TypedDict

from pipeline.store import storage

READER = 2  # of source code: another number where `_code_of` finds something else in it
PACKAGES = ("pipeline", "model", "expectations", "flows")
# Modules that move bytes without shaping them; a change here does not make old artifacts wrong.
PLUMBING = {
    "pipeline.store.artifact",
    "pipeline.store.disk_space",
    "pipeline.errors",
    "pipeline.store.fingerprint",
    "pipeline.store.integrity",
    "pipeline.store.ledger",
    "pipeline.store.loading",
    "pipeline.store.commit",
    "pipeline.store.holds",
    "model.contracts",  # contracts carry their own version
    "pipeline.schema",
    "pipeline.parts",
    "pipeline.stage",
    "pipeline.store.storage",
    "pipeline.store.units",
    "pipeline.engine",
    "pipeline.engine.local",
}


class Ingredient(Protocol):
    """Anything a stage reads: an artifact, a planned artifact or a set of source files."""

    @property
    def stage(self) -> str:
        """Name of what made it."""
        ...

    @property
    def fingerprint(self) -> str:
        """Its identity."""
        ...


class _Parent(TypedDict):
    stage: str
    fingerprint: str


class Inputs(TypedDict):
    """The shape of the ingredients in a manifest or a record."""

    stage: str
    contract: str
    config: Any
    code: str
    libraries: dict[str, str]
    parents: list[_Parent]


@dataclass(frozen=True)
class Fingerprint:
    """The ingredients of an artifact and their hash."""

    inputs: dict[str, Any]

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return storage.sha256_text(storage.canonical_json(self.inputs))


def fingerprint(
    stage: str,
    contract: str,
    config: Any,
    module: str,
    libraries: Sequence[str],
    parents: Sequence[Ingredient],
) -> Fingerprint:
    """Return the fingerprint of what `stage` would make from `parents` under `config`.

    `config` is a dataclass; `module` names the stage's code, whose imports are followed.
    """
    return Fingerprint(
        {
            "stage": stage,
            "contract": contract,
            "config": plain(config),
            "code": code_version(module),
            "libraries": {name: importlib.metadata.version(name) for name in libraries},
            "parents": [{"stage": p.stage, "fingerprint": p.fingerprint} for p in parents],
        }
    )


def plain(value: Any) -> Any:
    """Return `value` in the types that JSON gives back, so that stored and live inputs compare.

    A dataclass becomes a dict of its fields, one with `identity()` what that returns.
    """
    if hasattr(value, "identity"):
        return plain(value.identity())
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def changed_inputs(before: dict[str, Any] | None, now: dict[str, Any]) -> list[str]:
    """List in words how two fingerprints' ingredients differ."""
    if before is None or before == now:
        return []
    changes = []
    for section in ("config", "libraries"):
        label = "" if section == "config" else "library "
        changes += [
            f"{label}{key} {old!r} -> {new!r}"
            for key, old, new in differences(before[section], now[section])
        ]
    if before["contract"] != now["contract"]:
        changes.append(f"contract {before['contract']} -> {now['contract']}")
    if before["code"] != now["code"]:
        changes.append("the stage's code changed")
    old_parents = {p["stage"]: p["fingerprint"] for p in before["parents"]}
    for parent in now["parents"]:
        if old_parents.get(parent["stage"]) != parent["fingerprint"]:
            what = "content changed" if parent["stage"] == "sources" else "differs"
            changes.append(f"its input {parent['stage']} {what}")
    return changes


def differences(before: Any, now: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    """List where two nested dicts differ: (dotted key, before, now); None where one lacks it."""
    if isinstance(before, dict) and isinstance(now, dict):
        rows = []
        for key in sorted(set(before) | set(now)):
            path = f"{prefix}.{key}" if prefix else key
            rows += differences(before.get(key), now.get(key), path)
        return rows
    return [] if before == now else [(prefix, before, now)]


def code_version(module: str) -> str:
    """Hash the code of `module` and of all project modules it imports, plumbing aside.

    Comments, layout and docstrings do not count: the syntax tree without docstrings is hashed.
    """
    return storage.sha256_text(storage.canonical_json(module_codes(module)))[:16]


@functools.cache
def module_codes(module: str) -> dict[str, str]:
    """Return what `code_version` hashes: the hash of each module's syntax tree, by name."""
    seen: dict[str, str] = {}
    queue = [module]
    while queue:
        name = queue.pop()
        if name in seen or name in PLUMBING:
            continue
        code = _code_of(name)
        seen[name] = code["tree"]
        named = (name for name in code["imports"] if name.split(".")[0] in PACKAGES)
        queue.extend(name for name in named if _is_module(name))
    _save_code()
    return seen


class _Code(TypedDict):
    """What matters of a module's source: the hash of its tree, and what names it may import."""

    tree: str
    imports: list[str]


@functools.cache
def _code_of(module: str) -> _Code:
    """Parse a module, unless the user's cache folder knows this very source.

    Parsing and walking all modules takes two CPU seconds, looking them up a tenth.
    """
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module {module!r}")
    source = Path(spec.origin).read_bytes()
    digest = hashlib.sha256(source).hexdigest()[:32]
    known = _known_code()
    if digest not in known:
        tree = ast.parse(source)
        imports = _imports(tree)
        hashed = storage.sha256_text(ast.dump(_without_docstrings(tree)))
        known[digest] = {"tree": hashed, "imports": imports}
        _unsaved.append(digest)
    return known[digest]


_unsaved: list[str] = []


@functools.cache
def _known_code() -> dict[str, _Code]:
    """Return what the cache folder knows of modules, by the hash of their source."""
    return storage.recall_json(_code_file(), dict[str, _Code]) or {}


def _save_code() -> None:
    """Keep what was found in modules for later processes; others' findings stay."""
    if not _unsaved:
        return
    found = {digest: _known_code()[digest] for digest in _unsaved}
    with contextlib.suppress(OSError):  # a user without a home: parsed every time
        kept = storage.recall_json(_code_file(), dict[str, _Code]) or {}
        storage.write_json(_code_file(), {**kept, **found})
    _unsaved.clear()


def _code_file() -> Path:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return storage.cache_folder() / f"code-{READER}-python{python}.json"


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return tree


def _imports(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            # `from pipeline import tokenizer` imports a module, `from x import y` may not.
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return sorted(set(names))


@functools.cache
def _is_module(name: str) -> bool:
    parent, _, leaf = name.rpartition(".")
    if not parent:
        return importlib.util.find_spec(name) is not None
    spec = importlib.util.find_spec(parent) if _is_module(parent) else None
    if spec is None or spec.submodule_search_locations is None:
        return False
    folder = Path(next(iter(spec.submodule_search_locations)))
    return (folder / f"{leaf}.py").is_file() or (folder / leaf / "__init__.py").is_file()
