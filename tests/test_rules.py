"""How the code is written, where a machine can tell: names, parameters, no switch for a tool."""

import ast
import tokenize
from collections import defaultdict
from collections.abc import Iterator

from tests.test_layers import FILES, MODULES, ROOT

PARAMETERS_MAX = 6
# Names that everybody gives these libraries; all other modules are imported under their own.
SHORT_NAMES = {
    "great_expectations": "gx",
    "great_expectations.expectations": "gxe",
    "numpy": "np",
    "pandas": "pd",
    "polars": "pl",
    "pyarrow": "pa",
    "pyarrow.compute": "pc",
    "pyarrow.csv": "csv",
    "pyarrow.parquet": "pq",
    "torch.nn.functional": "F",
}
TREES = {str(file.relative_to(ROOT)): ast.parse(file.read_text("utf-8")) for file in FILES}


def nodes(*kinds: type) -> Iterator[tuple[str, ast.AST]]:
    """Yield every node of these kinds with the file it stands in."""
    for file, tree in TREES.items():
        yield from ((file, node) for node in ast.walk(tree) if isinstance(node, kinds))


def test_a_class_name_is_used_once():
    homes = defaultdict(list)
    for file, node in nodes(ast.ClassDef):
        homes[node.name].append(file)
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}


def test_a_module_is_imported_under_its_own_name():
    other = [
        f"{file}: {name} as {alias.asname}"
        for file, node in nodes(ast.Import, ast.ImportFrom)
        for alias in node.names
        for name in [f"{node.module}.{alias.name}" if hasattr(node, "module") else alias.name]
        if alias.asname and (isinstance(node, ast.Import) or name in MODULES)
        if SHORT_NAMES.get(name) != alias.asname
    ]
    assert other == []


def test_parameters_beyond_six_are_a_type():
    long = []
    for file, node in nodes(ast.FunctionDef, ast.AsyncFunctionDef):
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
        if len(set(names) - {"self", "cls"}) > PARAMETERS_MAX:
            long.append(f"{file}: {node.name}")
    assert long == []


def test_no_line_is_kept_from_the_formatter():
    kept = []
    for file in FILES:
        with tokenize.open(file) as lines:
            tokens = list(tokenize.generate_tokens(lines.readline))
        kept += [
            f"{file.relative_to(ROOT)}:{token.start[0]}"
            for token in tokens
            if token.type == tokenize.COMMENT and token.string.startswith(("# fmt:", "# yapf:"))
        ]
    assert kept == []
