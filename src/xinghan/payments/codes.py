"""The payer's code, which a phone derives without a network, and the token of an order's code.

A payer's code is eighteen digits `PP OOOOOO DDDDDDDDDD`. The prefix P (25 to 30) and the six
digits O together are a one-time password out of 6,000,000, made by HMAC-SHA256 from the device's
secret and the half minute. D is the device's number plus a number that is a public function of P
and O, modulo 10**10: so two codes of one phone do not look alike. That keeps a bystander from
linking codes at a glance, and is no secrecy: who knows this page can read the device's number from
any code.

**What a guess is worth.** `matching_step` accepts four steps, so a guess for a known device is
right with 4 in 6,000,000, which is 1 in 1,500,000. Without knowing a device, the guesser must hit
one, too: of 10**10 numbers, 1.5 billion are in use when every person has one phone, which is 15 in
100, so that 1 in 10,000,000 random codes is right; hence devices are numbered at random. A guess
counts only if a merchant, whom the platform knows, submits it. With ten wrong codes in an hour
allowed to one merchant (an honest till errs less: a wrong code is a misread or an expired one), a
merchant who guesses day and night for known devices waits 1,500,000 / 240 days, 17 years, for one
payment, which is bounded by what a payer allows without a passcode and lands in an account under
the merchant's own name; with random codes, 114 years. Five wrong codes in an hour for one device,
whoever submits them, keep many merchants together from one victim: 34 years. A thousand merchants
together against everybody come to a hit in six days, after 1.5 million refusals: so the share of
wrong codes over all merchants must raise an alarm, which is the work of risk control.

A code works once when the caller keeps, for each device, the last step that was used, and takes
only later ones.
"""

import hmac
import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final
from uuid import UUID

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from xinghan.kit.ids import TradeId, from_crockford, to_crockford
from xinghan.kit.numbering import is_trade_id
from xinghan.kit.vault import Vault

STEP_SECONDS: Final = 30
DEVICE_NUMBERS: Final = 10**10
DEVICE_SECRET_BYTES: Final = 32

_PREFIX_LOWEST = 25
_PREFIXES = 6
_ONE_TIME_DIGITS = 10**6
_CODE = re.compile(r"(2[5-9]|30)([0-9]{6})([0-9]{10})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HMAC_LABEL = b"xinghan payment code 1"
_MASK_LABEL = b"xinghan payment code mask 1"
_TOKEN_CHARACTERS = 26


def step_at(instant: datetime) -> int:
    """Count the half minutes from 1970 to an aware instant."""
    return (instant - _EPOCH) // timedelta(seconds=STEP_SECONDS)


def derive_code(device_number: int, secret: bytes, step: int) -> str:
    """Give the eighteen digits that a device shows during one step.

    Only the first 48 bits of a hash are used, because every JavaScript number holds them exactly.
    Raises ValueError for a device number outside 0 to 10**10 - 1 or a secret that is not 32 bytes.
    """
    if not 0 <= device_number < DEVICE_NUMBERS or len(secret) != DEVICE_SECRET_BYTES:
        raise ValueError("a device has a number below 10**10 and a secret of 32 bytes")
    digest = hmac.digest(secret, _HMAC_LABEL + step.to_bytes(8, "big"), "sha256")
    prefix, digits = divmod(
        _first_48_bits(digest) % (_PREFIXES * _ONE_TIME_DIGITS), _ONE_TIME_DIGITS
    )
    password = f"{_PREFIX_LOWEST + prefix}{digits:06}"
    return f"{password}{(device_number + _mask(password)) % DEVICE_NUMBERS:010}"


def device_number_of(code: str) -> int | None:
    """Read which device a code claims to be from; None for what cannot be a payer's code."""
    match = _CODE.fullmatch(code)
    if match is None:
        return None
    return (int(match[3]) - _mask(match[1] + match[2])) % DEVICE_NUMBERS


def matching_step(
    code: str, secret: bytes, now_step: int, back: int = 2, ahead: int = 1
) -> int | None:
    """Find the step, from `back` before to `ahead` after now, in which the device shows `code`.

    Every step is derived and compared in full, so that the time taken tells nothing about the code.
    None when there is no such step.
    """
    device_number = device_number_of(code)
    if device_number is None:
        return None
    found: int | None = None
    for step in range(max(now_step - back, 0), now_step + ahead + 1):
        expected = derive_code(device_number, secret, step)
        found = step if hmac.compare_digest(expected, code) else found
    return found


def order_code_key(vault: Vault) -> bytes:
    """Give the platform's key for the tokens of orders' codes, the same in every process."""
    return vault.subkey("order codes")


def order_token(trade_id: TradeId, key: bytes) -> str:
    """Give the token of an order's URL: 26 letters and digits that nobody else can make.

    It is the trade's id enciphered as one block of AES under `key` (32 bytes): a permutation of
    128 bits, so that nothing has to be stored to find the trade, and tokens of neighbouring trades
    have nothing in common. A guessed token names an existing one of 10**12 trades with a chance of
    10**12 / 2**128, less than 1 in 10**26.
    """
    encryptor = Cipher(AES(key), ECB()).encryptor()  # noqa: S305 (one block of random content)
    return to_crockford(int.from_bytes(encryptor.update(trade_id.bytes), "big"), _TOKEN_CHARACTERS)


def trade_of_order_token(token: str, key: bytes) -> TradeId | None:
    """Read the trade's id from an order's token; None for what was never given out."""
    number = from_crockford(token, _TOKEN_CHARACTERS)
    if number is None or number >> 128:
        return None
    decryptor = Cipher(AES(key), ECB()).decryptor()  # noqa: S305 (one block of random content)
    identity = UUID(bytes=decryptor.update(number.to_bytes(16, "big")))
    return TradeId(identity) if is_trade_id(identity) else None


def _mask(password: str) -> int:
    return _first_48_bits(sha256(_MASK_LABEL + password.encode()).digest()) % DEVICE_NUMBERS


def _first_48_bits(digest: bytes) -> int:
    return int.from_bytes(digest[:6], "big")
