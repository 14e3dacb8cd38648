"""Secrets are sealed, keys are guarded, and nothing shows either."""

import pickle
from base64 import b64encode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinghan.kit import vault as vault_module
from xinghan.kit.vault import KeysUnusable, SealBroken, Vault

KEY_1, KEY_2 = bytes(range(32)), bytes(range(32, 64))
TEXT = f"1:{b64encode(KEY_1).decode()}, 2:{b64encode(KEY_2).decode()}"

the_vault = Vault({1: KEY_1, 2: KEY_2})


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_what_is_sealed_can_be_unsealed(plaintext: bytes, context: bytes) -> None:
    sealed = the_vault.seal(plaintext, context)
    assert the_vault.unseal(sealed, context) == plaintext
    assert sealed[0] == 2
    assert len(sealed) == 1 + 24 + len(plaintext) + 16


def test_sealing_twice_gives_two_texts() -> None:
    assert the_vault.seal(b"secret", b"row") != the_vault.seal(b"secret", b"row")


@given(st.integers(0, 46), st.integers(1, 255))
def test_a_changed_byte_breaks_the_seal(position: int, change: int) -> None:
    sealed = bytearray(the_vault.seal(b"secret", b"row"))
    sealed[position] ^= change
    with pytest.raises(SealBroken):
        the_vault.unseal(bytes(sealed), b"row")


@given(st.integers(0, 46))
def test_a_cut_text_breaks_the_seal(length: int) -> None:
    with pytest.raises(SealBroken):
        the_vault.unseal(the_vault.seal(b"secret", b"row")[:length], b"row")


def test_a_text_cannot_be_moved_to_another_row() -> None:
    with pytest.raises(SealBroken, match="no money has moved"):
        the_vault.unseal(the_vault.seal(b"secret", b"row 1"), b"row 2")


@pytest.mark.parametrize(
    ("key", "context", "ciphertext"),
    [
        (1, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
        (3, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
    ],
)
def test_the_cipher_is_xaes_256_gcm(key: int, context: bytes, ciphertext: str) -> None:
    nonce = b"ABCDEFGHIJKLMNOPQRSTUVWX"
    cipher = vault_module._cipher(bytes([key]) * 32, nonce)
    assert cipher.encrypt(nonce[12:], b"XAES-256-GCM", context).hex() == ciphertext


def test_the_first_start_makes_a_key_that_stays(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "keys"
    sealed = Vault.open(directory).seal(b"secret", b"row")
    assert Vault.open(directory).unseal(sealed, b"row") == b"secret"
    assert [path.name for path in directory.iterdir()] == ["master-001.key"]
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "master-001.key").stat().st_mode & 0o777 == 0o600


def test_a_key_that_another_process_made_first_is_kept(tmp_path: Path) -> None:
    Vault.open(tmp_path / "keys")
    before = (tmp_path / "keys" / "master-001.key").read_bytes()
    vault_module._write_key(tmp_path / "keys", 1)
    assert (tmp_path / "keys" / "master-001.key").read_bytes() == before
    assert len(list((tmp_path / "keys").iterdir())) == 1


def test_rotation_adds_a_key_that_other_processes_find(tmp_path: Path) -> None:
    one, other = Vault.open(tmp_path / "keys"), Vault.open(tmp_path / "keys")
    old = one.seal(b"old", b"row")
    derived = one.subkey("order token"), one.keyed_hash("13800000000", "phone")
    assert one.rotate() == 2
    new = one.seal(b"new", b"row")
    assert (old[0], new[0]) == (1, 2)
    assert (other.unseal(old, b"row"), other.unseal(new, b"row")) == (b"old", b"new")
    assert (one.subkey("order token"), one.keyed_hash("13800000000", "phone")) == derived
    assert repr(other) == "Vault(versions=[1, 2])"


def test_files_that_are_no_keys_are_left_alone(tmp_path: Path) -> None:
    Vault.open(tmp_path / "keys")
    for name in ("master-000.key", "master-256.key", "master-1.key", ".master-002.key.draft"):
        (tmp_path / "keys" / name).write_bytes(KEY_2)
    assert repr(Vault.open(tmp_path / "keys")) == "Vault(versions=[1])"


def test_keys_end_at_the_version_that_fits_a_byte(tmp_path: Path) -> None:
    opened = Vault.open(tmp_path / "keys")
    (tmp_path / "keys" / "master-001.key").rename(tmp_path / "keys" / "master-255.key")
    with pytest.raises(KeysUnusable, match="fewer than 255"):
        opened.rotate()


def test_lost_keys_are_not_replaced_where_secrets_exist(tmp_path: Path) -> None:
    with pytest.raises(KeysUnusable, match="Restore the directory"):
        Vault.open(tmp_path / "keys", create=False)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_keys_that_others_may_read_are_refused(tmp_path: Path, mode: int) -> None:
    Vault.open(tmp_path / "keys")
    (tmp_path / "keys" / "master-001.key").chmod(mode)
    with pytest.raises(KeysUnusable, match="chmod go="):
        Vault.open(tmp_path / "keys")


def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path) -> None:
    Vault.open(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(KeysUnusable, match="chmod go="):
        Vault.open(tmp_path / "keys")


def test_damaged_and_linked_keys_are_refused(tmp_path: Path) -> None:
    Vault.open(tmp_path / "keys")
    key = tmp_path / "keys" / "master-001.key"
    key.write_bytes(b"short")
    with pytest.raises(KeysUnusable, match="damaged"):
        Vault.open(tmp_path / "keys")
    key.unlink()
    key.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeysUnusable, match="cannot be used"):
        Vault.open(tmp_path / "keys")


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").touch(mode=0o600)
    with pytest.raises(KeysUnusable, match="cannot be used"):
        Vault.open(tmp_path / "keys")


def test_servers_read_their_keys_from_the_environment() -> None:
    read = Vault.from_text(TEXT)
    assert read.unseal(the_vault.seal(b"secret", b"row"), b"row") == b"secret"
    assert read.subkey("x") == the_vault.subkey("x")
    with pytest.raises(KeysUnusable, match="added there"):
        read.rotate()


@pytest.mark.parametrize(
    "text",
    [
        *("", "1:", "1:abc", f"{'A' * 43}=", f"1:{'A' * 40}", f"1:{'Ä' * 43}="),
        *(f"0:{'A' * 43}=", f"256:{'A' * 43}=", f"x:{'A' * 43}="),
        *(f"1:{'A' * 43}=,1:{'B' * 42}A=", f"1:{'A' * 43}=,"),
    ],
)
def test_malformed_keys_are_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(KeysUnusable) as refusal:
        Vault.from_text(text)
    assert "AAAA" not in refusal.value.english + refusal.value.chinese


def test_an_unknown_version_breaks_the_seal() -> None:
    with pytest.raises(SealBroken):
        Vault({1: KEY_1}).unseal(the_vault.seal(b"secret", b"row"), b"row")


def test_a_directory_that_became_unusable_breaks_the_seal_of_new_versions(tmp_path: Path) -> None:
    opened = Vault.open(tmp_path / "keys")
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(SealBroken):
        opened.unseal(the_vault.seal(b"secret", b"row"), b"row")
    assert opened.unseal(opened.seal(b"secret", b"row"), b"row") == b"secret"


def test_hashes_and_keys_differ_by_purpose_and_text() -> None:
    hashes = {
        the_vault.keyed_hash("1", "phone"),
        the_vault.keyed_hash("2", "phone"),
        the_vault.keyed_hash("1", "mail"),
        the_vault.subkey("phone"),
        the_vault.subkey("hash phone"),
    }
    assert len(hashes) == 5
    assert {len(value) for value in hashes} == {32}


def test_no_key_is_shown(tmp_path: Path) -> None:
    opened = Vault.open(tmp_path / "keys")
    key = (tmp_path / "keys" / "master-001.key").read_bytes()
    assert repr(key) not in repr(opened)
    assert f"{opened}" == "Vault(versions=[1])"
    with pytest.raises(TypeError, match="stays in its process"):
        pickle.dumps(opened)


def test_keys_that_were_read_serve_on_but_are_not_added_to(tmp_path: Path) -> None:
    vault = Vault.open(tmp_path / "keys")
    (tmp_path / "keys" / "master-001.key").chmod(0o644)
    assert vault.unseal(vault.seal(b"secret", b"row"), b"row") == b"secret"
    with pytest.raises(KeysUnusable):
        vault.rotate()
