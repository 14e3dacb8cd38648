"""Secrets at rest, sealed with AES-256-GCM under versioned master keys outside the database.

Each sealed text has its own data key, derived from the master key and a random 24-byte nonce as
XAES-256-GCM says (C2SP, c2sp.org/XAES-256-GCM), so that any number of texts may be sealed.
"""

import hmac
import os
import re
import stat
from base64 import b64decode
from binascii import Error as Base64Error
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from xinghan.kit.errors import XinghanError
from xinghan.kit.startup import EXIT_DATA_UNUSABLE, StartupError

KEY_BYTES: Final = 32
VERSION_MAX: Final = 255

_NONCE_BYTES = 24
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_KEY_FILE = re.compile(r"master-(00[1-9]|0[1-9][0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])\.key")


class KeysUnusable(StartupError):
    """The master keys are missing, malformed, or readable by others."""

    exit_code = EXIT_DATA_UNUSABLE


class SealBroken(XinghanError):
    """A sealed text was changed, belongs elsewhere, or was sealed with a key that is not here."""

    code = "seal_broken"
    http_status = 503


class Vault:
    """Seals and unseals secrets, and derives the keys of everything else.

    Texts are sealed with the newest master key; older ones only unseal. What is derived
    (`subkey`, `keyed_hash`) comes from the oldest one and so never changes: keep every key.
    """

    __slots__ = ("_directory", "_keys")

    def __init__(self, keys: dict[int, bytes], directory: Path | None = None) -> None:
        self._keys = dict(sorted(keys.items()))
        self._directory = directory

    @classmethod
    def open(cls, directory: Path, *, create: bool = True) -> "Vault":
        """Read the key files of `directory`, or make the directory and the first key.

        With `create` false, missing keys are an error: data sealed with them exist already.
        Raises KeysUnusable, also when anybody but the owner may read a key.
        """
        keys = _read_directory(directory)
        if not keys and create:
            _write_key(directory, 1)
            keys = _read_directory(directory)
        if not keys:
            raise KeysUnusable(
                f"There is no master key in {directory}; without it, secrets cannot be read."
                " Restore the directory from its backup.",
                f"{directory} 中没有主密钥，无法读取机密数据。请从备份中恢复该目录。",
            )
        return cls(keys, directory)

    @classmethod
    def from_text(cls, text: str) -> "Vault":
        """Read master keys from `1:<base64 of 32 bytes>,2:<...>`, as XINGHAN_MASTER_KEYS has them.

        Raises KeysUnusable, without repeating any of the text.
        """
        keys: dict[int, bytes] = {}
        for entry in text.split(","):
            version, _, encoded = entry.strip().partition(":")
            key = _decode_key(encoded)
            number = int(version) if re.fullmatch("[0-9]{1,3}", version) else 0
            if key is None or not 1 <= number <= VERSION_MAX or number in keys:
                raise KeysUnusable(
                    "XINGHAN_MASTER_KEYS must be VERSION:KEY,... with different versions from 1 to"
                    " 255 and keys of 32 bytes in base64 (openssl rand -base64 32).",
                    "XINGHAN_MASTER_KEYS 应为“版本:密钥,…”：版本为 1 到 255 且互不相同，"
                    "密钥为 32 字节的 base64（openssl rand -base64 32）。",
                )
            keys[number] = key
        return cls(keys)

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """Encrypt; `context` (such as the row's id) must be the same again to unseal.

        The result is the key's version in one byte, 24 bytes of nonce, ciphertext and tag.
        """
        version, key = next(reversed(self._keys.items()))
        nonce = os.urandom(_NONCE_BYTES)
        head = bytes([version])
        return head + nonce + _cipher(key, nonce).encrypt(nonce[12:], plaintext, head + context)

    def unseal(self, sealed: bytes, context: bytes) -> bytes:
        """Decrypt what `seal` gave for the same context. Raises SealBroken."""
        head, nonce, ciphertext = (
            sealed[:1],
            sealed[1 : 1 + _NONCE_BYTES],
            sealed[1 + _NONCE_BYTES :],
        )
        key = self._find_key(head[0]) if len(nonce) == _NONCE_BYTES else None
        if key is None:
            raise SealBroken
        try:
            return _cipher(key, nonce).decrypt(nonce[12:], ciphertext, head + context)
        except InvalidTag:
            raise SealBroken from None

    def rotate(self) -> int:
        """Add a master key, seal with it from now on, and give its version.

        Other processes find it when they meet it. Raises KeysUnusable for keys that are not in
        files of ours, and when there are 255 of them.
        """
        if self._directory is not None:
            self._keys = _read_directory(self._directory)
        newest = next(reversed(self._keys))
        if self._directory is None or newest >= VERSION_MAX:
            raise KeysUnusable(
                "A master key can be added only to a key directory with fewer than 255 keys; keys"
                " in XINGHAN_MASTER_KEYS are added there.",
                "只能向密钥少于 255 个的密钥目录添加主密钥；"
                "XINGHAN_MASTER_KEYS 中的密钥请在该处添加。",
            )
        _write_key(self._directory, newest + 1)
        self._keys = _read_directory(self._directory)
        return next(reversed(self._keys))

    def keyed_hash(self, text: str, purpose: str) -> bytes:
        """Hash `text` to 32 bytes for searching without storing it; differs by purpose."""
        return hmac.digest(self.subkey(f"hash {purpose}"), text.encode(), "sha256")

    def subkey(self, purpose: str) -> bytes:
        """Derive 32 bytes for one purpose (HMAC-SHA256 as in HKDF-Expand, RFC 5869, one block)."""
        oldest = next(iter(self._keys.values()))
        return hmac.digest(oldest, b"xinghan subkey " + purpose.encode() + b"\x01", "sha256")

    def __repr__(self) -> str:
        """Name the versions, never a key."""
        return f"Vault(versions={list(self._keys)})"

    def __reduce__(self) -> str:
        """Refuse to be pickled: the keys stay in their process."""
        raise TypeError("a vault stays in its process")

    def _find_key(self, version: int) -> bytes | None:
        if version not in self._keys and self._directory is not None:
            with suppress(KeysUnusable):
                self._keys = _read_directory(self._directory)
        return self._keys.get(version)


def _cipher(key: bytes, nonce: bytes) -> AESGCM:
    """Derive the data key of one nonce: CMAC of two blocks in counter mode (NIST SP 800-108)."""
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 (single blocks, as CMAC wants)
    zero_block = int.from_bytes(encryptor.update(bytes(16)), "big")
    subkey = (zero_block << 1 ^ 0x87 * (zero_block >> 127)) & (1 << 128) - 1
    derived = b""
    for counter in (1, 2):
        block = int.from_bytes(b"\x00%cX\x00" % counter + nonce[:12], "big") ^ subkey
        derived += encryptor.update(block.to_bytes(16, "big"))
    return AESGCM(derived)


def _read_directory(directory: Path) -> dict[int, bytes]:
    try:
        _refuse_others(directory, directory.stat())
        names = [path.name for path in directory.iterdir()]
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise _unreadable(directory, error) from None
    found = [match for match in map(_KEY_FILE.fullmatch, sorted(names)) if match]
    return {int(match[1]): _read_key(directory / match[0]) for match in found}


def _read_key(path: Path) -> bytes:
    """Read a key file, judging the very file that is open, never a link."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            _refuse_others(path, os.fstat(file.fileno()))
            content = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, error) from None
    if len(content) != KEY_BYTES:
        raise KeysUnusable(
            f"{path} is damaged: a master key has {KEY_BYTES} bytes. Restore it from its backup.",
            f"{path} 已损坏：主密钥应为 {KEY_BYTES} 字节。请从备份中恢复。",
        )
    return content


def _write_key(directory: Path, version: int) -> None:
    """Make a key appear complete and under its name at once; another process may be first."""
    path = directory / f"master-{version:03}.key"
    draft = directory / f".{path.name}.{token_hex(8)}"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
        _flush_directory(directory)
    except OSError as error:
        raise _unreadable(path, error) from None


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if status.st_mode & _OTHERS:
        raise KeysUnusable(
            f"Others than its owner may open {path}. Take their rights away: chmod go= {path}",
            f"除所有者外还有人可以打开 {path}。请收回其权限：chmod go= {path}",
        )


def _unreadable(path: Path, error: OSError) -> KeysUnusable:
    return KeysUnusable(
        f"The master keys cannot be used: {path}: {error.strerror}",
        f"主密钥无法使用：{path}：{error.strerror}",
    )


def _decode_key(encoded: str) -> bytes | None:
    try:
        key = b64decode(encoded, validate=True)
    except (Base64Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
