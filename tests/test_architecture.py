"""The house rules that a program can check: floors, circles, names."""

from __future__ import annotations

import ast
import tomllib
from collections import defaultdict
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Packages and modules of `mfdask`, each of which imports only what stands above it in this list.
FLOORS = [
    {"cores", "decoding", "errors", "figures", "job_registry", "kernels", "progress", "summaries"},
    {"files", "memory", "parameters", "supervision", "watch"},
    {"cluster", "ratings", "results", "sheets"},
    {"execution"},
    {"shards"},
    {"convergence", "features", "ingestion"},
    {"models"},
    {"evaluation"},
    {"embedding", "nightly", "tuning"},
    {"recommendation"},
    {"downstream"},
    {"bench", "report"},
    {"app"},
    {"__init__", "__main__"},  # the public face
]


def modules() -> dict[str, Path]:
    """Return the modules of the library by their names."""
    found = {}
    for path in (ROOT / "mfdask").rglob("*.py"):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__") if name != "mfdask.__init__" else name] = path
    return found


MODULES = modules()


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in it, or names in a string."""
    named: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            named += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            every = [f"{node.module}.{alias.name}" for alias in node.names]
            named += [name if name in MODULES else node.module for name in every]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "." in node.value:
            text = node.value.partition(":")[0]
            own = text.startswith(".".join(path.relative_to(ROOT).parts[:2]))
            named += [] if own else [text]  # such as of the package's own style sheets
    return {"mfdask.__init__" if name == "mfdask" else name for name in named} & set(MODULES)


GRAPH = {name: imports(path) - {name} for name, path in MODULES.items()}
FLOOR = {package: number for number, floor in enumerate(FLOORS) for package in floor}


def package(module: str) -> str:
    return module.split(".")[1]


def test_every_package_has_a_floor():
    assert {package(module) for module in MODULES} == set(FLOOR)


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_go_down(module):
    own = package(module)
    upward = {
        used
        for used in GRAPH[module]
        if package(used) != own and FLOOR[package(used)] >= FLOOR[own]
    }
    assert not upward


def test_there_are_no_circles():
    left = {module: set(used) for module, used in GRAPH.items()}
    while free := {module for module, used in left.items() if not used}:
        left = {module: used - free for module, used in left.items() if module not in free}
    assert not left


def test_models_have_few_files():
    """A kind of model is a file; beside those there are few."""
    said = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    kinds = said["project"]["entry-points"]["mfdask.models"].values()
    own = {value.partition(":")[0].rpartition(".")[2] for value in kinds}
    files = {path.stem for path in (ROOT / "mfdask" / "models").glob("*.py")}
    assert own <= files
    assert len(files - own) <= 14


def test_each_name_is_defined_once():
    places = defaultdict(list)
    files = chain((ROOT / "mfdask").rglob("*.py"), (ROOT / "jobs").glob("*.py"))
    for path in sorted(files):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            is_class = isinstance(node, ast.ClassDef)
            is_public = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            if (is_class or is_public) and node.name != "main":
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
