"""An app, its keys, and a way to sign requests as its programs do."""

from collections.abc import Callable
from urllib.parse import quote_plus

import pytest

from gateway.till import Till
from xinghan.gateway.model import HttpRequest
from xinghan.identity import App, AppCredentials
from xinghan.kit import signing
from xinghan.kit.db import Database
from xinghan.kit.signing import SignType
from xinghan.kit.vault import Vault

Signed = Callable[..., HttpRequest]
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="session")
def app_key() -> signing.rsa.RSAPrivateKey:
    return signing.generate_private_key()


@pytest.fixture(scope="session")
def app(app_key: signing.rsa.RSAPrivateKey) -> AppCredentials:
    return AppCredentials(
        "2021000000000001",
        (app_key.public_key(),),
        signing.generate_private_key(),
        aes_key=signing.load_aes_key(signing.generate_aes_key()),
    )


@pytest.fixture(scope="session")
def signed(app: AppCredentials, app_key: signing.rsa.RSAPrivateKey) -> Signed:
    """Sign parameters as an SDK does, independently of the gateway's own reading."""

    def sign_request(
        *, charset: str = "utf-8", keep_empty: bool = False, **changes: str | None
    ) -> HttpRequest:
        parameters = {
            "app_id": app.app_id,
            "method": "alipay.trade.precreate",
            "format": "JSON",
            "charset": charset,
            "sign_type": "RSA2",
            "timestamp": "2026-03-01 08:00:00",
            "version": "1.0",
            "biz_content": '{"out_trade_no":"T1","subject":"红茶"}',
            **changes,
        }
        present = {name: value for name, value in parameters.items() if value is not None}
        if "sign" not in changes:
            text = "&".join(f"{k}={v}" for k, v in sorted(present.items()) if v or keep_empty)
            sign_type = SignType.RSA if present.get("sign_type") == "RSA" else SignType.RSA2
            present["sign"] = signing.sign(app_key, text.encode(charset), sign_type)
        content = present.pop("biz_content", None)
        body = "" if content is None else f"biz_content={quote_plus(content, encoding=charset)}"
        query = "&".join(f"{k}={quote_plus(v, encoding=charset)}" for k, v in present.items())
        return HttpRequest(
            "POST", "/gateway.do", query.encode(), body.encode(), {"content-type": FORM}
        )

    return sign_request


@pytest.fixture
def till(database: Database, app_key: signing.rsa.RSAPrivateKey) -> Till:
    """A till on a fresh database, with a clock that stands still."""
    return Till(database, Vault({1: b"k" * 32}), app_key)


@pytest.fixture
async def shop(till: Till) -> App:
    """The app of a merchant who is paid in CNY."""
    return await till.app()
