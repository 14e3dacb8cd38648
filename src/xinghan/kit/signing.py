"""RSA signatures and AES content encryption, in the forms that payment SDKs exchange.

Keys travel as bare base64 (one line, no PEM armour) or as PEM; private keys as PKCS#1 or PKCS#8,
public keys as SubjectPublicKeyInfo or PKCS#1. Signatures are RSASSA-PKCS1-v1_5 (RFC 8017, 8.2).
AES is CBC with a zero initialisation vector and PKCS#7 padding: the open gateway's wire demands it,
and it is safe only because every ciphertext is signed and the signature is checked first.
"""

import asyncio
import base64
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, HashAlgorithm
from cryptography.hazmat.primitives.padding import PKCS7

KEY_BITS_MIN = 1024
KEY_BITS_DEFAULT = 2048
KEY_BITS_MAX = 8192
AES_KEY_BYTES = (16, 24, 32)

_AES_BLOCK_BITS = 128
_ZERO_IV = bytes(16)
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----(.*?)-----END [A-Z ]+-----", re.DOTALL)


class SignType(StrEnum):
    """A signature algorithm under the name that the wire gives it."""

    RSA = "RSA"
    RSA2 = "RSA2"


_HASHES: dict[SignType, HashAlgorithm] = {
    SignType.RSA: SHA1(),  # noqa: S303 - old merchants' programs still sign with SHA-1
    SignType.RSA2: SHA256(),
}
_PKCS1V15 = padding.PKCS1v15()

# OpenSSL releases the interpreter lock while it signs, so threads really run side by side.
_SIGNING_THREADS = ThreadPoolExecutor(
    max_workers=max(2, os.cpu_count() or 1), thread_name_prefix="rsa-sign"
)


class KeyFormatError(ValueError):
    """The text is not a key of the kind asked for, or its size is out of bounds."""


class DecryptionError(ValueError):
    """The ciphertext is not base64, not whole blocks, or was not made with this key."""


def generate_private_key(bits: int = KEY_BITS_DEFAULT) -> rsa.RSAPrivateKey:
    """Make an RSA key pair with the public exponent 65537."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def load_private_key(text: str) -> rsa.RSAPrivateKey:
    """Read a private key from PEM or bare base64, PKCS#1 or PKCS#8, without a password.

    Raises KeyFormatError when the text is anything else.
    """
    try:
        key = serialization.load_der_private_key(_der(text), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFormatError("not an RSA private key in PKCS#1 or PKCS#8") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise KeyFormatError("not an RSA private key in PKCS#1 or PKCS#8")
    _check_size(key.key_size)
    return key


def load_public_key(text: str) -> rsa.RSAPublicKey:
    """Read a public key from PEM or bare base64, SubjectPublicKeyInfo or PKCS#1.

    Raises KeyFormatError when the text is anything else.
    """
    try:
        key = serialization.load_der_public_key(_der(text))
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFormatError("not an RSA public key") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise KeyFormatError("not an RSA public key")
    _check_size(key.key_size)
    return key


def export_private_key_pkcs1(key: rsa.RSAPrivateKey) -> str:
    """Give the key as bare base64 PKCS#1, as the Python SDKs and Node's default expect it."""
    return _export_private_key(key, serialization.PrivateFormat.TraditionalOpenSSL)


def export_private_key_pkcs8(key: rsa.RSAPrivateKey) -> str:
    """Give the key as bare base64 PKCS#8, as the Java SDK expects it."""
    return _export_private_key(key, serialization.PrivateFormat.PKCS8)


def export_public_key(key: rsa.RSAPublicKey) -> str:
    """Give the key as bare base64 SubjectPublicKeyInfo, as every SDK expects it."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode("ascii")


def sign(key: rsa.RSAPrivateKey, message: bytes, sign_type: SignType) -> str:
    """Sign the message; the answer is base64 on one line. Costs about 300 µs for 2048 bits."""
    signature = key.sign(message, _PKCS1V15, _HASHES[sign_type])
    return base64.b64encode(signature).decode("ascii")


async def sign_async(key: rsa.RSAPrivateKey, message: bytes, sign_type: SignType) -> str:
    """Sign in a thread, so that the event loop and other signatures go on meanwhile."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_SIGNING_THREADS, sign, key, message, sign_type)


def verify(key: rsa.RSAPublicKey, message: bytes, signature: str, sign_type: SignType) -> bool:
    """Say whether the base64 signature is the key's for this message; never raises for bad input.

    A space is read as "+": programs that forget to percent-encode the signature turn one into
    the other, and no valid base64 contains a space.
    """
    try:
        raw = base64.b64decode(signature.replace(" ", "+"), validate=True)
        key.verify(raw, message, _PKCS1V15, _HASHES[sign_type])
    except (InvalidSignature, ValueError):
        return False
    return True


def generate_aes_key(size_bytes: int = 16) -> str:
    """Make a base64 AES key; 16, 24 or 32 bytes."""
    return base64.b64encode(secrets.token_bytes(size_bytes)).decode("ascii")


def load_aes_key(text: str) -> bytes:
    """Read a base64 AES key; raises KeyFormatError unless it has 16, 24 or 32 bytes."""
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise KeyFormatError("an AES key is written in base64") from error
    if len(key) not in AES_KEY_BYTES:
        raise KeyFormatError("an AES key has 16, 24 or 32 bytes")
    return key


def encrypt_aes(key: bytes, plaintext: bytes) -> str:
    """Encrypt to one line of base64."""
    padder = PKCS7(_AES_BLOCK_BITS).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(_ZERO_IV)).encryptor()
    padded = padder.update(plaintext) + padder.finalize()
    return base64.b64encode(encryptor.update(padded) + encryptor.finalize()).decode("ascii")


def decrypt_aes(key: bytes, ciphertext: str) -> bytes:
    """Decrypt base64; raises DecryptionError, which does not say what exactly was wrong."""
    unpadder = PKCS7(_AES_BLOCK_BITS).unpadder()
    decryptor = Cipher(algorithms.AES(key), modes.CBC(_ZERO_IV)).decryptor()
    try:
        raw = base64.b64decode(ciphertext, validate=True)
        padded = decryptor.update(raw) + decryptor.finalize()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as error:
        raise DecryptionError("the content cannot be decrypted with this AES key") from error


def _export_private_key(key: rsa.RSAPrivateKey, form: serialization.PrivateFormat) -> str:
    der = key.private_bytes(serialization.Encoding.DER, form, serialization.NoEncryption())
    return base64.b64encode(der).decode("ascii")


def _der(text: str) -> bytes:
    armoured = _PEM.search(text)
    body = armoured.group(1) if armoured else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except ValueError as error:
        raise KeyFormatError("a key is PEM, or base64 without header lines") from error


def _check_size(bits: int) -> None:
    if not KEY_BITS_MIN <= bits <= KEY_BITS_MAX:
        raise KeyFormatError(f"an RSA key has {KEY_BITS_MIN} to {KEY_BITS_MAX} bits, not {bits}")
