"""Signatures, key forms and AES, checked against published vectors and against OpenSSL's forms."""

import asyncio
import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from xinghan.kit import signing
from xinghan.kit.signing import DecryptionError, KeyFormatError, SignType

KEY = signing.generate_private_key()
OTHER_KEY = signing.generate_private_key()
MESSAGE = "out_trade_no=T1&subject=红茶".encode()


@pytest.mark.parametrize("sign_type", list(SignType))
def test_a_signature_holds_for_its_message_key_and_type_only(sign_type: SignType) -> None:
    signature = signing.sign(KEY, MESSAGE, sign_type)
    other_type = SignType.RSA if sign_type is SignType.RSA2 else SignType.RSA2
    assert "\n" not in signature
    assert signing.verify(KEY.public_key(), MESSAGE, signature, sign_type)
    assert not signing.verify(KEY.public_key(), MESSAGE + b" ", signature, sign_type)
    assert not signing.verify(OTHER_KEY.public_key(), MESSAGE, signature, sign_type)
    assert not signing.verify(KEY.public_key(), MESSAGE, signature, other_type)


def test_a_known_signature_is_made_again() -> None:
    """PKCS#1 v1.5 is deterministic: the padded digest is the signature raised to the exponent."""
    raw = base64.b64decode(signing.sign(KEY, b"abc", SignType.RSA2))
    numbers = KEY.public_key().public_numbers()
    block = pow(int.from_bytes(raw), numbers.e, numbers.n).to_bytes(256)
    digest_of_abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert block.startswith(b"\x00\x01\xff\xff")
    assert block.endswith(bytes.fromhex(digest_of_abc))


@pytest.mark.parametrize("garbage", ["", "=", "%%%", "AAAA", "签名", "A" * 100_000, "\0"])
def test_a_signature_that_is_none_is_refused(garbage: str) -> None:
    assert not signing.verify(KEY.public_key(), MESSAGE, garbage, SignType.RSA2)


def test_a_signature_whose_plus_signs_were_read_as_spaces_still_holds() -> None:
    signature = next(
        one
        for one in (signing.sign(KEY, b"%d" % n, SignType.RSA2) for n in range(100))
        if "+" in one
    )
    [message] = [
        b"%d" % n for n in range(100) if signing.sign(KEY, b"%d" % n, SignType.RSA2) == signature
    ]
    assert signing.verify(KEY.public_key(), message, signature.replace("+", " "), SignType.RSA2)


async def test_signing_in_threads_gives_the_same_signatures() -> None:
    messages = [b"%d" % number for number in range(8)]
    signed = await asyncio.gather(
        *(signing.sign_async(KEY, message, SignType.RSA2) for message in messages)
    )
    assert signed == [signing.sign(KEY, message, SignType.RSA2) for message in messages]


@pytest.mark.parametrize(
    ("export", "form", "label"),
    [
        (
            signing.export_private_key_pkcs1,
            serialization.PrivateFormat.TraditionalOpenSSL,
            "RSA PRIVATE KEY",
        ),
        (signing.export_private_key_pkcs8, serialization.PrivateFormat.PKCS8, "PRIVATE KEY"),
    ],
)
def test_private_keys_are_read_from_every_form(export, form, label) -> None:  # noqa: ANN001
    bare = export(KEY)
    pem = KEY.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()
    assert pem == f"-----BEGIN {label}-----\n{folded(bare)}\n-----END {label}-----\n"
    for text in (bare, pem, f"\n  {folded(bare)}\n", pem.replace("\n", "\r\n")):
        assert signing.load_private_key(text).private_numbers() == KEY.private_numbers()


def test_public_keys_are_read_from_every_form() -> None:
    public = KEY.public_key()
    bare = signing.export_public_key(public)
    pkcs1 = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    spki = f"-----BEGIN PUBLIC KEY-----\n{folded(bare)}\n-----END PUBLIC KEY-----"
    for text in (bare, spki, pkcs1.decode()):
        assert signing.load_public_key(text).public_numbers() == public.public_numbers()


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "红茶", "-----BEGIN X-----"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(KeyFormatError):
        signing.load_private_key(text)
    with pytest.raises(KeyFormatError):
        signing.load_public_key(text)


def test_keys_of_another_kind_or_size_are_refused() -> None:
    curve = ec.generate_private_key(ec.SECP256R1())
    encoding, none = serialization.Encoding.DER, serialization.NoEncryption()
    curve_text = curve.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none)
    with pytest.raises(KeyFormatError):
        signing.load_private_key(base64.b64encode(curve_text).decode())
    too_long = rsa.RSAPublicNumbers(65537, (1 << 9000) + 1).public_key()
    with pytest.raises(KeyFormatError, match="bits"):
        signing.load_public_key(signing.export_public_key(too_long))


@given(plaintext=st.binary(max_size=200), size=st.sampled_from(signing.AES_KEY_BYTES))
@settings(max_examples=50, deadline=None)
def test_aes_gives_back_what_it_was_given(plaintext: bytes, size: int) -> None:
    key = signing.load_aes_key(signing.generate_aes_key(size))
    ciphertext = signing.encrypt_aes(key, plaintext)
    assert signing.decrypt_aes(key, ciphertext) == plaintext
    assert len(base64.b64decode(ciphertext)) == (len(plaintext) // 16 + 1) * 16


def test_aes_agrees_with_a_published_vector() -> None:
    """The first block of NIST SP 800-38A, F.1.1: CBC with a zero vector starts like ECB."""
    key = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")
    plaintext = bytes.fromhex("6bc1bee22e409f96e93d7e117393172a")
    ciphertext = base64.b64decode(signing.encrypt_aes(key, plaintext))
    assert ciphertext[:16].hex() == "3ad77bb40d7a3660a89ecaf32466ef97"


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "红茶", "A" * 64])
def test_what_is_no_ciphertext_is_refused(text: str) -> None:
    key = bytes(16)
    with pytest.raises(DecryptionError):
        signing.decrypt_aes(key, text)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", "红茶", "A" * 64])
def test_what_is_no_aes_key_is_refused(text: str) -> None:
    with pytest.raises(KeyFormatError):
        signing.load_aes_key(text)


def folded(text: str) -> str:
    return "\n".join(text[at : at + 64] for at in range(0, len(text), 64))
