"""Sizes, names, money and dependencies: what review would otherwise have to say again and again."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from contracts.tree import PACKAGE, ROOT, all_files, name, python_files

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# What is larger, with the lines that it may have at most.
LARGE_FILES = {
    "tests/journeys/crash_load.py": 430,
    "tests/ledger/test_verification.py": 401,
    "tests/payments/test_notifications.py": 422,
    "tests/properties/test_ledger_machine.py": 420,
}
LARGE_FUNCTIONS: dict[str, int] = {}

CODE = frozenset({".py", ".sql", ".ts", ".js", ".mjs", ".html", ".css"})
FORBIDDEN_NAMES = frozenset({"utils", "helpers", "common", "manager", "base", "service", "misc"})
# What a declared package brings as a part of its own face.
PARTS = {"markupsafe": "jinja2", "pydantic-core": "pydantic"}
MONEY_ROOMS = tuple(PACKAGE / room for room in ("ledger", "payments", "wallets"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Give every function of a file with its lines, decorators not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function) and node.end_lineno is not None:
            yield f"{name(path)}::{node.name}", node.end_lineno - node.lineno + 1


def test_files_are_small_or_shrink() -> None:
    lines = {
        name(path): len(path.read_text().splitlines())
        for path in all_files()
        if path.suffix in CODE and not name(path).startswith("src/xinghan/migrations/")
    }
    assert {
        one: count for one, count in lines.items() if count > LARGE_FILES.get(one, FILE_LINES_MAX)
    } == {}


def test_functions_are_small_or_shrink() -> None:
    lines = [one for path in python_files() for one in functions(path)]
    large = {one: count for one, count in lines if count > FUNCTION_LINES_MAX}
    assert {one: count for one, count in large.items() if count > LARGE_FUNCTIONS.get(one, 0)} == {}


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = {name(path): {*path.relative_to(ROOT).parts[:-1], path.stem} for path in all_files()}
    assert [
        one for one, words in names.items() if words & FORBIDDEN_NAMES and one[-3:] == ".py"
    ] == []


@pytest.mark.parametrize("path", python_files(*MONEY_ROOMS), ids=name)
def test_money_is_never_a_float_and_never_divided(path: Path) -> None:
    found = [
        f"{name(path)}:{node.lineno}"
        for node in ast.walk(ast.parse(path.read_text()))
        if _is_inexact(node)
    ]
    assert found == []


def _is_inexact(node: ast.AST) -> bool:
    """Whether a node divides, or makes or names a binary fraction."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        return isinstance(node.op, ast.Div)
    if isinstance(node, ast.Name):
        return node.id == "float"
    return isinstance(node, ast.Constant) and isinstance(node.value, float | complex)


def test_every_dependency_is_imported_and_every_import_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {_plain(re.split(r"[\[<>=!~; ]", one)[0]) for one in project["dependencies"]}
    packages = packages_distributions()
    imported = {
        PARTS.get(_plain(distribution), _plain(distribution))
        for path in python_files(PACKAGE)
        if path.name != "shop.py"  # a shop's program, which runs with an SDK of its own
        for package in _imports(path) - set(sys.stdlib_module_names) - {"xinghan"}
        for distribution in packages[package]
    }
    assert declared - imported == set(), "declared, but not imported"
    assert imported - declared == set(), "imported, but not declared"


def _imports(path: Path) -> set[str]:
    """Give the packages that a file imports, or names for `find_spec` as a constant PACKAGE."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names):
                found |= {one.name.partition(".")[0] for one in names}
            case ast.ImportFrom(str(module), _, 0):
                found.add(module.partition(".")[0])
            case ast.Assign([ast.Name("PACKAGE")], ast.Constant(str(package))):
                found.add(package)
    return found


def _plain(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
