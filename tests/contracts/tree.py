"""The files of this repository, as the contracts about documents and tidiness read them."""

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "xinghan"

_PLACES = (".ci", "bench", "deploy", "docs", "src", "tests", "web")
_NOT_OURS = frozenset({"__pycache__", "node_modules", "vendor", "dist"})
_BINARY = frozenset({".png", ".ico", ".woff2", ".webp", ".jpg", ".pyc"})


def all_files() -> Iterator[Path]:
    """Give every text file that was written here, or is kept here."""
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file())
    for place in _PLACES:
        for path in sorted((ROOT / place).rglob("*")):
            ours = not _NOT_OURS & set(path.relative_to(ROOT).parts)
            if ours and path.is_file() and path.suffix not in _BINARY:
                yield path


def documents() -> list[Path]:
    """Give every Markdown document."""
    return [path for path in all_files() if path.suffix == ".md"]


def python_files(*places: Path) -> list[Path]:
    """Give every Python file of these places; without any, of the whole repository."""
    return [
        path
        for path in all_files()
        if path.suffix == ".py"
        and (not places or any(path.is_relative_to(place) for place in places))
    ]


def name(path: Path) -> str:
    """Name a file as people do: from the top of the repository."""
    return path.relative_to(ROOT).as_posix()
