"""`xinghan sandbox` as a person or another program uses it."""

import json
import os
import signal
import socket
import subprocess
import sys
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509

from xinghan import identity
from xinghan.cli import main
from xinghan.kit import db
from xinghan.kit.ids import PERSON
from xinghan.kit.settings import Settings
from xinghan.kit.signing import (
    SignType,
    export_public_key,
    load_aes_key,
    load_private_key,
    load_public_key,
    sign,
    verify,
)
from xinghan.kit.vault import Vault

XINGHAN = Path(sys.executable).parent / "xinghan"
WAIT_SECONDS = 60
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("XINGHAN_")}
MERCHANT_KEYS = {
    *("app_id", "gateway_url", "v3_endpoint", "app_private_key_pkcs1", "app_private_key_pkcs8"),
    *("platform_public_key", "aes_key", "merchant_id", "name"),
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(
    empty_database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Run:
    """Run `xinghan sandbox …` on a sandbox on a fresh database: exit code, stdout, stderr."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"XINGHAN_{field.upper()}", raising=False)
    monkeypatch.setenv("XINGHAN_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("XINGHAN_SANDBOX", "true")
    monkeypatch.setenv("XINGHAN_DATA", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("COLUMNS", "120")

    def run_main(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinghan", "sandbox", *arguments])
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        said = capfd.readouterr()
        return code, said.out, said.err

    return run_main


@pytest.fixture
async def looking(empty_database_url: str) -> AsyncIterator[db.Connection]:
    connection = await db.connect(empty_database_url)
    yield connection
    await connection.close()


def make_merchant(run: Run, *arguments: str) -> dict[str, str]:
    code, out, err = run("merchant", "--json", *arguments)
    assert (code, err) == (0, "")
    made: dict[str, str] = json.loads(out)
    return made


def test_a_merchant_gets_what_a_program_needs(run: Run, tmp_path: Path) -> None:
    made = make_merchant(run, "--name", "梅记茶馆")
    assert set(made) == MERCHANT_KEYS
    assert made["gateway_url"] == "http://127.0.0.1:8000/gateway.do"
    assert made["v3_endpoint"] == "http://127.0.0.1:8000"
    assert made["name"] == "梅记茶馆"
    assert (made["merchant_id"][:4], len(made["merchant_id"])) == ("2088", 16)
    assert (made["app_id"][:4], len(made["app_id"])) == ("2021", 16)
    one, other = (load_private_key(made[f"app_private_key_pkcs{form}"]) for form in (1, 8))
    assert one.private_numbers() == other.private_numbers()
    load_public_key(made["platform_public_key"])
    assert len(load_aes_key(made["aes_key"])) == 16
    written = tmp_path / "sandbox" / made["app_id"] / "app.json"
    assert json.loads(written.read_text()) == made
    assert written.stat().st_mode & 0o777 == 0o600
    assert written.parent.stat().st_mode & 0o777 == 0o700


def test_certificates_are_files_that_fit_the_keys(run: Run, tmp_path: Path) -> None:
    made = make_merchant(run, "--name", "Mei's teahouse", "--cert")
    assert set(made) == MERCHANT_KEYS | {"certificates"}
    paths: dict[str, str] = dict(made["certificates"])
    assert set(paths) == {"app", "platform", "root"}
    loaded = {
        name: x509.load_pem_x509_certificate(Path(path).read_bytes())
        for name, path in paths.items()
    }
    assert all(
        Path(path).parent == tmp_path / "sandbox" / made["app_id"] for path in paths.values()
    )
    for certificate in loaded.values():
        certificate.verify_directly_issued_by(loaded["root"])
    app_key = load_private_key(made["app_private_key_pkcs1"])
    assert loaded["app"].public_key() == app_key.public_key()
    assert loaded["platform"].public_key() == load_public_key(made["platform_public_key"])


async def test_the_platform_believes_what_the_merchant_signs(
    run: Run, tmp_path: Path, empty_database_url: str
) -> None:
    made = await to_thread(make_merchant, run, "--name", "Mei")
    vault = Vault.open(tmp_path / "keys", create=False)
    connection = await db.connect(empty_database_url, role=db.APPLICATION_ROLE)
    app = await identity.fetch_app(connection, vault, made["app_id"])
    await connection.close()
    assert app is not None
    signature = sign(load_private_key(made["app_private_key_pkcs8"]), b"tea", SignType.RSA2)
    assert verify(app.public_keys[0], b"tea", signature, SignType.RSA2)
    platform_key = app.platform_private_key.public_key()
    assert export_public_key(platform_key) == made["platform_public_key"]


def test_people_read_a_table_without_secrets(run: Run, tmp_path: Path) -> None:
    code, out, err = run("merchant", "--name", "梅记茶馆")
    assert (code, err) == (0, "")
    assert "梅记茶馆" in out
    assert "http://127.0.0.1:8000/gateway.do" in out
    [written] = (tmp_path / "sandbox").glob("*/app.json")
    assert out.endswith(f"Its keys: {written}\n")
    assert "MII" not in out
    code, out, err = run("payer", "--name", "Lin", "--balance", "1000.00")
    assert (code, err) == (0, "")
    assert "1000.00" in out


def test_a_payer_has_a_device_and_the_money(run: Run) -> None:
    code, out, err = run("payer", "--name", "Lin", "--balance", "1000", "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert set(made) == {"person_id", "user_id", "name", "device_number", "balance", "currency"}
    assert (made["name"], made["balance"], made["currency"]) == ("Lin", "1000.00", "CNY")
    assert made["user_id"].startswith("2088")
    assert PERSON.parse(made["person_id"])
    assert 0 <= made["device_number"] < 10**10


@pytest.mark.parametrize(
    ("balance", "currency", "shown"), [("0", "CNY", "0.00"), ("500", "jpy", "500")]
)
def test_any_currency_and_also_nothing(run: Run, balance: str, currency: str, shown: str) -> None:
    arguments = ("--name", "Lin", "--balance", balance, "--currency", currency)
    code, out, _ = run("payer", *arguments, "--json")
    assert code == 0
    assert json.loads(out)["balance"] == shown


async def test_the_money_comes_from_the_funding_account(run: Run, looking: db.Connection) -> None:
    await to_thread(run, "payer", "--name", "Lin", "--balance", "1000.00")
    rows = await looking.fetch(
        "SELECT kind, sum(debits_posted) AS debits, sum(credits_posted) AS credits"
        " FROM ledger.account GROUP BY kind ORDER BY kind"
    )
    assert [tuple(row) for row in rows] == [("sandbox_funding", 100_000, 0), ("wallet", 0, 100_000)]


@pytest.mark.parametrize(
    ("command", "arguments", "option"),
    [
        ("payer", ("--name", "Wei", "--balance", "1,000"), "--balance"),
        ("payer", ("--name", "Wei", "--balance", "-5"), "--balance"),
        ("payer", ("--name", "Wei", "--balance", "1.005"), "--balance"),
        ("payer", ("--name", "Wei", "--balance", "1e3"), "--balance"),
        ("payer", ("--name", "Wei", "--balance", "9" * 31), "--balance"),
        ("payer", ("--name", "Wei", "--balance", "5", "--currency", "XXX"), "--currency"),
        ("payer", ("--name", "Wei", "--balance", "5", "--currency", ""), "--currency"),
        ("payer", ("--name", "", "--balance", "5"), "--name"),
        ("payer", ("--name", "x" * 65, "--balance", "5"), "--name"),
        ("payer", ("--name", "Wei\n", "--balance", "5"), "--name"),
        ("payer", ("--name", "Lin", "--balance", "5"), "--name"),
        ("merchant", ("--name", " "), "--name"),
        ("merchant", ("--name", "Mei\x07", "--cert"), "--name"),
        ("merchant", ("--name", "Mei\udcff"), "--name"),
    ],
)
async def test_bad_input_is_one_line_and_changes_nothing(
    run: Run,
    looking: db.Connection,
    tmp_path: Path,
    command: str,
    arguments: tuple[str, ...],
    option: str,
) -> None:
    await to_thread(run, "payer", "--name", "Lin", "--balance", "1.00")
    before = await everything(looking)
    code, out, err = await to_thread(run, command, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"xinghan: {option}: ")
    assert err.count("\n") == 1
    assert "no money has moved" in err
    assert await everything(looking) == before
    assert not (tmp_path / "sandbox").exists()


def test_a_missing_option_is_named(run: Run) -> None:
    code, _, err = run("payer", "--name", "Lin")
    assert code == 2
    assert "--balance" in err


def test_the_terminal_s_language_is_spoken(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "zh_CN.UTF-8")
    code, _, err = run("payer", "--name", "Lin", "--balance", "5", "--currency", "ABC")
    assert code == 2
    assert "资金未发生变动" in err


@pytest.mark.parametrize(
    "arguments", [("merchant", "--name", "Mei"), ("payer", "--name", "Lin", "--balance", "5")]
)
async def test_outside_a_sandbox_nothing_is_made(
    run: Run,
    looking: db.Connection,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.delenv("XINGHAN_SANDBOX")
    code, out, err = await to_thread(run, *arguments)
    assert (code, out) == (2, "")
    assert "XINGHAN_SANDBOX=true" in err
    assert await looking.fetchval("SELECT to_regclass('identity.person')") is None


async def test_a_merchant_whose_files_cannot_be_written_is_not_made(
    run: Run, looking: db.Connection, tmp_path: Path
) -> None:
    (tmp_path / "sandbox").touch()
    code, _, err = await to_thread(run, "merchant", "--name", "Mei")
    assert code == 2
    assert "Nothing was changed" in err
    assert await looking.fetchval("SELECT count(*) FROM identity.merchant") == 0


def test_beside_a_running_platform_and_without_one(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)  # the server's account passes through it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    platform = subprocess.Popen(
        [XINGHAN, "up", "--port", port], cwd=tmp_path, env=CLEAN, stdout=subprocess.PIPE, text=True
    )
    try:
        assert platform.stdout is not None
        assert platform.stdout.readline() == f"ready http://127.0.0.1:{port}\n"
        made = run_program(tmp_path, "merchant", "--name", "Mei", "--json")
        assert json.loads(made)["gateway_url"] == f"http://127.0.0.1:{port}/gateway.do"
        run_program(tmp_path, "payer", "--name", "Lin", "--balance", "5")
    finally:
        platform.send_signal(signal.SIGTERM)
        platform.communicate(timeout=WAIT_SECONDS)
    alone = json.loads(run_program(tmp_path, "merchant", "--name", "Mei", "--json"))
    assert alone["v3_endpoint"] == "http://127.0.0.1:8000"
    assert alone["app_id"] != json.loads(made)["app_id"]


def run_program(directory: Path, *arguments: str) -> str:
    command = [XINGHAN, "sandbox", *arguments, "--data", str(directory / ".xinghan")]
    done = subprocess.run(
        command, env=CLEAN, capture_output=True, text=True, timeout=WAIT_SECONDS, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def everything(connection: db.Connection) -> list[tuple[object, ...]]:
    rows = await connection.fetch(
        "SELECT 'account' AS what, a::text FROM ledger.account AS a"
        " UNION ALL SELECT 'posting', p::text FROM ledger.posting AS p"
        " UNION ALL SELECT 'person', p::text FROM identity.person AS p"
        " UNION ALL SELECT 'device', d::text FROM identity.device AS d"
        " UNION ALL SELECT 'merchant', m::text FROM identity.merchant AS m"
        " UNION ALL SELECT 'app', a::text FROM identity.app AS a"
        " UNION ALL SELECT 'audit', a::text FROM identity.audit AS a"
        " ORDER BY 1, 2"
    )
    return [tuple(row) for row in rows]
