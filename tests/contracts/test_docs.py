"""The documents say all that is public and nothing that is not there, and lead nowhere wrong."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
from fastapi import Depends

import xinghan
from contracts.tree import ROOT, all_files, documents, name
from xinghan.cli import command_line
from xinghan.gateway import errors as gateway_errors
from xinghan.gateway.methods import METHODS
from xinghan.kit.errors import XinghanError
from xinghan.kit.native import FieldInvalid, native_api
from xinghan.kit.settings import Settings
from xinghan.ledger import Outcome
from xinghan.ledger.api import router as ledger_api
from xinghan.ledger.verification.statements import CHECKS
from xinghan.payments.api import orders
from xinghan.payments.api import router as payments_api

REFERENCE = ROOT / "docs" / "reference"
EVERYWHERE = frozenset({"--data", "--database-url", "--json"})

LINK = re.compile(r'!?\[[^\]]*\]\(([^)\s]+)\)|<img src="([^"]+)"')
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SUB_CODE = re.compile(r'"((?:isv|isp|aop|ACQ)\.[A-Za-z_-]+)"')

# Each with a letter in brackets, so that this file does not find itself.
FORBIDDEN = {
    "a note to do something": re.compile(r"\b(?:TOD[O]|FIXM[E])\b"),
    "a path of one machine": re.compile(r"(?<![\w.*~-])/(?:work|root|home|tmp)/\w"),
    "a registry's host": re.compile(
        r"pyp[i]\.org|pythonhoste[d]\.org|npmj[s]\.(?:org|com)|npmmirro[r]\.com"
    ),
    "a package mirror": re.compile(r"https?://[\w.-]*(?:mirror|artifactory|nexus|devpi)[\w.-]*"),
}


def commands(group: Any, *path: str) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 (typer's own)
    """Give every command below a group by its whole name."""
    if not hasattr(group, "commands"):
        yield " ".join(path), group
        return
    for word, command in group.commands.items():
        yield from commands(command, *path, word)


COMMANDS = dict(commands(typer.main.get_command(command_line()), "xinghan"))


def section(text: str, heading: str) -> str:
    """Give what stands under a heading, up to the next one of its kind."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert found, f"there is no heading {heading!r}"
    return found[1]


def errors() -> set[type[XinghanError]]:
    """Give every class of error, of every room."""
    for module in pkgutil.walk_packages(xinghan.__path__, "xinghan."):
        if not module.name.endswith(("__main__", "demo.shop")):
            import_module(module.name)
    found, waiting = set(), [XinghanError]
    while waiting:
        kind = waiting.pop()
        found.add(kind)
        waiting += kind.__subclasses__()
    return {kind for kind in found - {FieldInvalid} if kind.__module__.startswith("xinghan.")}


def test_every_setting_is_documented_and_no_other() -> None:
    text = (REFERENCE / "settings.md").read_text()
    told = set(re.findall(r"^\| `(XINGHAN_\w+)` \|", text, re.MULTILINE))
    assert told == {f"XINGHAN_{field.upper()}" for field in Settings.model_fields}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_and_option_is_documented(command: str) -> None:
    told = section((REFERENCE / "cli.md").read_text(), f"`{command}`")
    options = {
        option
        for parameter in COMMANDS[command].params
        if parameter.param_type_name == "option"
        for option in parameter.opts
        if option.startswith("--")
    }
    if "Options as above" not in told:
        assert set(re.findall(r"`(--[\w-]+)`", told)) >= options - EVERYWHERE - {"--help"}
    assert set(re.findall(r"^\| `(--[\w-]+)`", told, re.MULTILINE)) <= options


def test_no_other_command_is_documented() -> None:
    headings = HEADING.findall((REFERENCE / "cli.md").read_text())
    assert {one.strip("`") for one in headings if one.startswith("`")} == set(COMMANDS)


@pytest.mark.parametrize("document", documents(), ids=name)
def test_commands_in_documents_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z]+)", text, re.MULTILINE)) <= targets
    written = re.findall(r"`(xinghan [a-z][^`\n]*)`", text)
    for block in SHELL.findall(text):
        written += re.findall(r"^(?:\$ )?(xinghan [a-z].*)$", block, re.MULTILINE)
    for line in written:
        said = line.partition(" # ")[0]
        known = [one for one in COMMANDS if f"{said} ".startswith(f"{one} ")]
        assert known, f"there is no command `{said}`"
        options = {option for one in COMMANDS[known[0]].params for option in one.opts}
        unknown = set(re.findall(r"(?<=\s)--[a-z-]+", said)) - options - {"--help"}
        assert not unknown, f"`{known[0]}` has no option {unknown}"


def test_every_gateway_method_is_documented_and_no_other() -> None:
    headings = HEADING.findall((REFERENCE / "gateway.md").read_text())
    told = [one.strip("`") for one in headings if one.startswith("`alipay.")]
    assert sorted(told) == sorted(METHODS)


def test_every_operation_of_the_native_api_is_documented_and_no_other() -> None:
    api = native_api([orders], [ledger_api, payments_api], Depends(lambda: None))
    rows = re.findall(
        r"^\| `(GET|POST|PUT|PATCH|DELETE) (\S+)` \|[^|]*\|([^|]*)\|$",
        (REFERENCE / "native-api.md").read_text(),
        re.MULTILINE,
    )
    told = {
        (method, path): set(re.findall(r"`(\w+)`", names)) - {"ledger", "world"}
        for method, path, names in rows
    }
    offered = {
        (method.upper(), path): {
            one["name"] for one in operation.get("parameters", []) if one["in"] == "query"
        }
        for path, operations in api.openapi()["paths"].items()
        for method, operation in operations.items()
    }
    assert told == offered


def test_every_error_is_documented_with_its_status_and_sub_code() -> None:
    text = (REFERENCE / "errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| `([\w.-]+)` \|", text, re.MULTILINE)
    told = {(code, int(status), sub_code) for code, status, sub_code in rows}
    raised = {(one.code, one.http_status, one.sub_code) for one in errors()}
    assert told == raised


def test_every_code_of_the_gateway_is_documented() -> None:
    text = (REFERENCE / "errors.md").read_text()
    sources = [path for path in all_files() if "src/xinghan" in name(path) and path.suffix == ".py"]
    used = {code for path in sources for code in SUB_CODE.findall(path.read_text())}
    assert used
    assert {code for code in used if f"`{code}`" not in text} == set()
    codes = {value for field, value in vars(gateway_errors).items() if field.startswith("CODE_")}
    assert set(re.findall(r"^\| (\d{5}) \|", text, re.MULTILINE)) == codes


def test_every_outcome_and_check_of_the_ledger_is_documented() -> None:
    outcomes = section((REFERENCE / "errors.md").read_text(), "Outcomes of the ledger")
    assert re.findall(r"^\| `(\w+)` \|", outcomes, re.MULTILINE) == [one.value for one in Outcome]
    checks = section((ROOT / "docs/operating/backups-and-proof.md").read_text(), "Verify")
    assert set(CHECKS) <= set(re.findall(r"^\| `(\w+)` \|", checks, re.MULTILINE))


def test_every_document_can_be_found_from_the_first_one() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached or document.suffix != ".md":
            continue
        reached.add(document)
        waiting += [target for target, _ in local_links(document)]
    assert {name(one) for one in documents()} == {name(one) for one in reached}


@pytest.mark.parametrize("document", documents(), ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    for target, anchor in local_links(document):
        assert target.exists(), f"{name(document)} leads to {target}"
        if anchor:
            assert anchor in anchors(target), f"{name(document)} leads to #{anchor}"


def local_links(document: Path) -> list[tuple[Path, str]]:
    """Give the files that a document leads to, each with the anchor in it, or an empty one."""
    text = FENCE.sub("", document.read_text())
    found = [link or image for link, image in LINK.findall(text)]
    parts = [one.partition("#") for one in found if "://" not in one]
    return [
        ((document.parent / path).resolve() if path else document, anchor)
        for path, _, anchor in parts
    ]


def anchors(document: Path) -> set[str]:
    """Give the anchors of a document's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", document.read_text()))
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_nothing_in_the_tree_is(what: str) -> None:
    found = []
    for path in all_files():
        lines = path.read_text(encoding="utf-8").splitlines()
        found += [
            f"{name(path)}:{number}: {line.strip()[:120]}"
            for number, line in enumerate(lines, 1)
            if FORBIDDEN[what].search(line)
        ]
    assert found == []
