"""Who is let in, how errors are told, and what the API says of itself."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from httpx import AsyncClient
from starlette.applications import Starlette

from xinghan.identity import operators
from xinghan.identity.operators import FILE_NAME, rotate_operator_token
from xinghan.kit.db import Connection, ConnectionLost, Database

GUARDED = "/api/v1/ledger/trial-balance"


async def ask(client: AsyncClient, token: str) -> httpx.Response:
    return await client.get(GUARDED, headers={"authorization": f"Bearer {token}"})


async def test_the_first_start_makes_a_token_that_only_its_owner_can_read(
    app: Starlette, public: AsyncClient, token: str, tmp_path: Path, owner: Connection
) -> None:
    file = tmp_path / "keys" / FILE_NAME
    assert file.stat().st_mode & 0o777 == 0o600
    assert token.startswith("xho_")
    assert (await ask(public, token)).status_code == 200
    stored = await owner.fetchval("SELECT encode(token_hash, 'hex') FROM identity.operator_token")
    assert token not in stored


async def test_a_second_start_keeps_the_token(app: Starlette, token: str, tmp_path: Path) -> None:
    async with app.router.lifespan_context(app):
        assert (tmp_path / "keys" / FILE_NAME).read_text().strip() == token


async def test_a_new_token_ends_the_old_one(
    database: Database, public: AsyncClient, token: str, tmp_path: Path
) -> None:
    async with database.transaction() as connection:
        new = await rotate_operator_token(connection, tmp_path / "keys", actor="mei")
    assert (await ask(public, token)).status_code == 401
    assert (await ask(public, new)).status_code == 200


@pytest.mark.parametrize("token", ["", "wrong", "xho_" + "a" * 43, "xho_\u00e9", "x" * 5000])
async def test_a_wrong_token_is_refused_in_the_readers_language(
    public: AsyncClient, token: str
) -> None:
    headers = {"authorization": f"Bearer {token}".encode(), "accept-language": "zh"}
    answer = await public.get(GUARDED, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"] == {
        "code": "operator_unknown",
        "message": "缺少运营方令牌，或令牌不正确。可用 xinghan operator token 查看。",
        "field": None,
        "money": "资金未发生变动",
        "language": "zh",
    }


async def test_many_wrong_tokens_stop_the_address_even_with_the_right_one(
    public: AsyncClient, token: str
) -> None:
    statuses = [(await ask(public, "wrong")).status_code for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    refused = await ask(public, token)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many")


async def test_what_is_not_there_is_told_in_the_same_shape(
    operator: AsyncClient, public: AsyncClient
) -> None:
    for answer, status, code in (
        (await public.get("/api/v1/nothing"), 404, "not_found"),
        (await operator.delete("/ledger/accounts"), 405, "method_not_allowed"),
        (await operator.get("/ledger/accounts/acc_0000000000001"), 404, "account_not_found"),
        (await operator.get("/ledger/accounts/acc_1"), 400, "id_malformed"),
        (await operator.get("/ledger/accounts?cursor=x"), 400, "id_malformed"),
        (await operator.get("/ledger/heads?cursor=-1"), 400, "invalid"),
        (await operator.get("/ledger/accounts?limit=0"), 400, "value_too_small"),
        (await operator.get("/ledger/postings?metadata=["), 400, "invalid"),
        (await public.get("/api/v1/orders/00000000000000000000000001"), 404, "order_code_unknown"),
        (await public.get("/api/v1/orders/x"), 404, "order_code_unknown"),
    ):
        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (status, code)
        assert set(error) == {"code", "message", "field", "money", "language"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"requests":' + b"[" * 50_000, b"\xff\xfe", b'{"requests":[1]}'],
)
async def test_a_body_that_cannot_be_read_is_refused(operator: AsyncClient, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    answer = await operator.post("/ledger/postings", content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.json()["error"]["money"] == "no money has moved"


async def test_a_body_that_is_too_long_is_refused(operator: AsyncClient) -> None:
    answer = await operator.post("/ledger/postings", content=b" " * ((1 << 20) + 1))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "body_too_large")

    async def drip() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 65_536

    answer = await operator.post("/ledger/postings", content=drip())
    assert answer.status_code == 413


async def test_an_instant_needs_its_zone(operator: AsyncClient) -> None:
    path = "/ledger/accounts/acc_0000000000001/balance"
    for at, code in (
        ("2026-01-31T08:30:00", "value_without_zone"),
        ("yesterday", "value_not_instant"),
        ("0001-01-01T00:00:00+14:00", "value_not_instant"),
        ("9999-12-31T23:59:59-14:00", "value_not_instant"),
        ("1767139200", "value_not_instant"),
    ):
        answer = await operator.get(path, params={"at": at})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code)


async def test_a_database_that_is_away_is_a_503(
    operator: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lose(*_: object) -> None:
        raise ConnectionLost("gone")

    monkeypatch.setattr("xinghan.ledger.api.fetch_trial_balance", lose)
    answer = await operator.get("/ledger/trial-balance")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_away")
    assert answer.headers["retry-after"] == "1"


async def test_a_mistake_of_ours_shows_nothing_of_itself(
    app: Starlette, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("xinghan.ledger.api.fetch_trial_balance", fail)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        answer = await ask(client, token)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "system_error")
    assert "secret" not in answer.text


async def test_the_description_is_complete(public: AsyncClient) -> None:
    described = (await public.get("/api/v1/openapi.json")).json()
    operations = [
        (path, operation)
        for path, methods in described["paths"].items()
        for operation in methods.values()
    ]
    assert len(operations) >= 16
    for path, operation in operations:
        assert operation["summary"], path
        assert operation["description"], path
        errors = [
            answer["content"]["application/json"]["schema"]["$ref"]
            for status, answer in operation["responses"].items()
            if status >= "4"
        ]
        assert set(errors) == {"#/components/schemas/ErrorAnswer"}, path
        assert ("security" in operation) != path.startswith("/orders"), path
    assert "HTTPValidationError" not in json.dumps(described)
    assert operators.TOKEN_PREFIX not in json.dumps(described)
