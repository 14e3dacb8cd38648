"""`xinghan ledger` as an operator, an auditor and other programs use it."""

import json
import sys
from asyncio import to_thread
from collections.abc import Callable
from pathlib import Path

import pytest

from bookkeeping import wait_for_others
from xinghan.cli import main
from xinghan.kit import db
from xinghan.kit.ids import POSTING, PostingId, uuid7
from xinghan.kit.settings import Settings
from xinghan.kit.vault import Vault
from xinghan.ledger import (
    SEED_PURPOSE,
    HeadKey,
    HeadsFile,
    Leg,
    NewAccount,
    Outcome,
    Post,
    open_accounts,
    post_in,
    seal_tail,
    verify_inclusion,
)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run `xinghan ledger …` on a fresh database: exit code, stdout, stderr."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"XINGHAN_{field.upper()}", raising=False)
    monkeypatch.setenv("XINGHAN_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("XINGHAN_DATA", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")

    def run_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinghan", "ledger", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capfd.readouterr()
        return code, said.out, said.err

    return run_main


async def post_something(url: str) -> PostingId:
    database = await db.Database.open(url)
    paid = PostingId(uuid7())
    async with database.transaction() as connection:
        accounts = [NewAccount("CNY", "wallet", floor_minor=None), NewAccount("CNY", "wallet")]
        payer, payee = await open_accounts(connection, accounts)
        [[result]] = await post_in(connection, [(Post(paid, (Leg(payer, payee, 100),)),)])
        assert result.outcome is Outcome.POSTED
    await database.close()
    return paid


async def seal_everything(url: str, data: Path) -> HeadKey:
    key = HeadKey(Vault.open(data / "keys").subkey(SEED_PURPOSE))
    database = await db.Database.open(url)
    await wait_for_others(database)
    assert await seal_tail(database, key, HeadsFile(data / "heads.jsonl")) == 1
    await database.close()
    return key


def test_an_empty_platform_is_in_order(run: Run) -> None:
    code, out, err = run("verify", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["ok"], report["postings"], report["head"]) == (True, 0, None)
    code, out, err = run("head")
    assert (code, out, err) == (2, "", "xinghan: Nothing is sealed yet.\n")


async def test_from_posting_to_proof(run: Run, empty_database_url: str, tmp_path: Path) -> None:
    assert (await to_thread(run, "verify"))[0] == 0
    paid = await post_something(empty_database_url)
    code, out, err = await to_thread(run, "proof", POSTING.show(paid))
    assert (code, out) == (2, "")
    assert "not sealed yet" in err
    key = await seal_everything(empty_database_url, tmp_path)

    code, out, _ = await to_thread(run, "proof", str(paid))
    [proof] = json.loads(out)["proofs"]
    assert code == 0
    assert verify_inclusion(proof, key.public_key)["id"] == str(paid)

    code, out, _ = await to_thread(run, "head", "--json")
    kept = tmp_path / "kept.json"
    kept.write_text(out)
    assert json.loads(out)["public_key"] == key.public_key.hex()
    code, out, _ = await to_thread(run, "verify", "--head", str(kept))
    assert code == 0
    assert "1 postings, 2 account rows, 1 blocks, 0 postings not sealed yet" in out


async def test_what_is_wrong_is_said_and_ends_with_1(
    run: Run, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await to_thread(run, "verify"))[0] == 0
    paid = await post_something(empty_database_url)
    await seal_everything(empty_database_url, tmp_path)
    owner = await db.connect(empty_database_url)
    await owner.execute("SET session_replication_role = replica")
    await owner.execute("UPDATE ledger.posting SET metadata = '{}'")
    await owner.close()
    code, out, _ = await to_thread(run, "verify")
    assert code == 1
    assert f"Posting {POSTING.show(paid)} leg 0" in out
    code, out, _ = await to_thread(run, "verify", "--json")
    report = json.loads(out)
    assert (code, report["ok"]) == (1, False)
    assert [check["name"] for check in report["checks"] if not check["ok"]] == ["blocks"]
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    code, out, _ = await to_thread(run, "verify")
    assert f"记账 {POSTING.show(paid)} 第 0 笔" in out


async def test_an_auditor_needs_only_the_public_key(
    run: Run, empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await to_thread(run, "verify"))[0] == 0
    await post_something(empty_database_url)
    key = await seal_everything(empty_database_url, tmp_path)
    monkeypatch.setenv("XINGHAN_DATA", str(tmp_path / "elsewhere"))
    right, wrong = key.public_key.hex(), HeadKey(bytes(32)).public_key.hex()
    assert (await to_thread(run, "verify", "--public-key", right))[0] == 0
    code, out, _ = await to_thread(run, "verify", "--public-key", wrong)
    assert code == 1
    assert "not a key of this platform" in out
    code, _, err = await to_thread(run, "verify", "--public-key", "123")
    assert (code, "64 hexadecimal digits" in err) == (2, True)


def test_what_cannot_be_verified_ends_with_2(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINGHAN_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setattr(db, "CONNECT_SECONDS_MAX", 0.1)
    code, out, err = run("verify", "--json")
    assert (code, out) == (2, "")
    assert "cannot be reached" in err
