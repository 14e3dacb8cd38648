from pathlib import Path

import pytest

from xinghan.kit.settings import LOOPBACK, Settings
from xinghan.kit.startup import SettingsInvalid

REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
SERVER = "postgresql://shop:secret@db.example/xinghan"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in Settings.model_fields:
        monkeypatch.delenv(f"XINGHAN_{field.upper()}", raising=False)


@pytest.mark.parametrize("field", Settings.model_fields)
def test_every_setting_is_described_in_the_code_and_in_the_reference(field: str) -> None:
    assert Settings.model_fields[field].description
    assert f"| `XINGHAN_{field.upper()}` |" in REFERENCE.read_text()


def test_the_reference_describes_no_setting_that_does_not_exist() -> None:
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith("| `XINGHAN_")]
    names = {row.split("`")[1].removeprefix("XINGHAN_").lower() for row in rows}
    assert names == set(Settings.model_fields)


def test_an_embedded_platform_is_a_sandbox_that_notifies_its_own_machine() -> None:
    settings = Settings.read()
    assert settings.sandbox
    assert settings.notify_allow == LOOPBACK
    assert settings.data.is_absolute()


def test_a_platform_on_a_server_is_no_sandbox_and_notifies_nothing_internal() -> None:
    settings = Settings.read(database_url=SERVER)
    assert not settings.sandbox
    assert settings.notify_allow == ()


def test_a_sandbox_on_a_server_still_notifies_nothing_internal() -> None:
    assert Settings.read(database_url=SERVER, sandbox=True).notify_allow == ()


def test_what_is_given_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINGHAN_PORT", "9001")
    monkeypatch.setenv("XINGHAN_HOST", "127.0.0.2")
    settings = Settings.read(port=9002, host=None)
    assert (settings.port, settings.host) == (9002, "127.0.0.2")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::1", "http://[::1]:8000"),
    ],
)
def test_the_public_address_follows_the_listening_one(host: str, url: str) -> None:
    assert Settings.read(host=host).public_url == url


def test_networks_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XINGHAN_NOTIFY_ALLOW", "10.1.0.0/16, shop.internal")
    assert Settings.read().notify_allow == ("10.1.0.0/16", "shop.internal")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("port", "0"),
        ("port", "http"),
        ("public_url", "pay.example"),
        ("database_url", "mysql://db.example/xinghan"),
        ("notify_allow", "10.1.0.0/99"),
        ("log_level", "loud"),
        ("workers", "0"),
    ],
)
def test_a_wrong_value_is_named(field: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"XINGHAN_{field.upper()}", value)
    with pytest.raises(SettingsInvalid, match=f"XINGHAN_{field.upper()}"):
        Settings.read()


def test_a_wrong_url_does_not_show_its_password() -> None:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.read(database_url="mysql://shop:secret@db.example/xinghan")
    assert "secret" not in caught.value.english + caught.value.chinese


@pytest.mark.parametrize("database_url", [None, SERVER])
def test_another_process_reads_the_same_settings(
    database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings.read(database_url=database_url, notify_allow=("10.1.0.0/16", "a.b"))
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.read() == settings


def test_settings_do_not_show_the_password() -> None:
    assert "secret" not in repr(Settings.read(database_url=SERVER))
