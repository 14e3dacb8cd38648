"""`xinghan operator token` as a person or another program uses it."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xinghan.cli import main
from xinghan.kit.settings import Settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run `xinghan operator token …` on a fresh database: exit code, stdout, stderr."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"XINGHAN_{field.upper()}", raising=False)
    monkeypatch.setenv("XINGHAN_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("XINGHAN_DATA", str(tmp_path))

    def run_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinghan", "operator", "token", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capfd.readouterr()
        return code, said.out, said.err

    return run_main


def test_the_token_is_made_once_and_printed_again(run: Run, tmp_path: Path) -> None:
    code, first, _ = run()
    assert code == 0
    assert first.startswith("xho_")
    assert json.loads(run("--json")[1]) == {"token": first.strip()}
    assert (tmp_path / "keys" / "operator.token").read_text() == first


def test_rotating_gives_another_token(run: Run) -> None:
    first, second = run()[1], run("--rotate")[1]
    assert first != second
    assert run()[1] == second


def test_a_token_that_is_kept_elsewhere_is_told_plainly(run: Run, tmp_path: Path) -> None:
    run()
    (tmp_path / "keys" / "operator.token").unlink()
    code, out, err = run()
    assert (code > 0, out) == (True, "")
    assert "--rotate" in err
    assert "Traceback" not in err


def test_a_place_that_cannot_be_written_is_told_plainly(run: Run, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("not a directory")
    code, out, err = run()
    assert (code > 0, out) == (True, "")
    assert "Traceback" not in err
