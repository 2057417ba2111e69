"""What an artifact is made of, hashed: same fingerprint, same bytes.

The ingredients are kept in the manifest, so that two fingerprints can be compared word by word
instead of only being found unequal (`textmill explain`).
"""

import ast
import functools
import importlib.metadata
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Protocol

from typing_extensions import TypedDict

from pipeline.store import storage

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
    "model.contracts",  # contracts carry their own version
    "pipeline.schema",
    "pipeline.stage",
    "pipeline.store.storage",
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
            for key, old, new in _differences(before[section], now[section])
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


def _differences(before: Any, now: Any, prefix: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(now, dict):
        rows = []
        for key in sorted(set(before) | set(now)):
            path = f"{prefix}.{key}" if prefix else key
            rows += _differences(before.get(key), now.get(key), path)
        return rows
    return [] if before == now else [(prefix, before, now)]


@functools.cache
def code_version(module: str) -> str:
    """Hash the code of `module` and of all project modules it imports, plumbing aside.

    Comments, layout and docstrings do not count: the syntax tree without docstrings is hashed.
    """
    seen: dict[str, str] = {}
    queue = [module]
    while queue:
        name = queue.pop()
        if name in seen or name in PLUMBING:
            continue
        tree = _syntax_tree(name)
        seen[name] = storage.sha256_text(ast.dump(_without_docstrings(tree)))
        queue.extend(_project_imports(tree))
    return storage.sha256_text(storage.canonical_json(seen))[:16]


def _syntax_tree(module: str) -> ast.Module:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source for module {module!r}")
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


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


def _project_imports(tree: ast.Module) -> list[str]:
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
            # `from pipeline import tokenizer` imports a module, `from x import y` may not.
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return [
        name for name in sorted(set(names)) if name.split(".")[0] in PACKAGES and _is_module(name)
    ]


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
