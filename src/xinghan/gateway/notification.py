"""Asynchronous notifications: the signed form that the platform posts to a merchant."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote_plus

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from xinghan.kit.signing import SignType, sign_async

ACKNOWLEDGEMENT = b"success"
"""The whole body with which a merchant accepts a notification."""


@dataclass(frozen=True, slots=True)
class NotificationForm:
    """A form to post: its content type and its body, percent-encoded in the app's charset."""

    content_type: str
    body: bytes


async def build_notification(
    parameters: Mapping[str, str],
    key: RSAPrivateKey,
    *,
    sign_type: SignType = SignType.RSA2,
    charset: str = "utf-8",
) -> NotificationForm:
    """Sign parameters and encode them as a form in the charset.

    Empty values are left out: the SDKs do not agree on whether those are signed. Characters
    that the charset lacks become question marks, before signing. The parameters `charset`,
    `sign_type` and `sign` are set here.
    """
    sent = {
        name: value.encode(charset, errors="replace").decode(charset)
        for name, value in parameters.items()
        if value.strip()
    }
    sent["charset"] = charset
    message = string_to_sign(sent).encode(charset)
    sent["sign_type"] = sign_type.value
    sent["sign"] = await sign_async(key, message, sign_type)
    body = "&".join(f"{name}={quote_plus(value, encoding=charset)}" for name, value in sent.items())
    return NotificationForm(
        f"application/x-www-form-urlencoded;charset={charset}", body.encode("ascii")
    )


def string_to_sign(parameters: Mapping[str, str]) -> str:
    """Give the text that a notification signs: all but `sign` and `sign_type`, by name."""
    return "&".join(
        f"{name}={parameters[name]}"
        for name in sorted(parameters)
        if name not in {"sign", "sign_type"} and parameters[name]
    )


def is_acknowledged(status: int, body: bytes) -> bool:
    """Say whether a merchant's answer accepts a notification; white space around it is forgiven."""
    return 200 <= status < 300 and body.strip() == ACKNOWLEDGEMENT  # noqa: PLR2004 - HTTP's 2xx
