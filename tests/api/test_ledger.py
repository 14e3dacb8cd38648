"""The ledger's API: accounts, batches with one result for each, statements, freezing."""

import csv
import io
import json
from datetime import UTC, datetime

import pytest
from httpx import AsyncClient

from xinghan.kit.db import Connection
from xinghan.kit.ids import POSTING, PostingId, uuid7

Pair = tuple[str, str]

JSON = {"content-type": "application/json"}


def new_id() -> str:
    return POSTING.show(PostingId(uuid7()))


async def open_account(operator: AsyncClient, **given: object) -> str:
    body = {"currency": "CNY", "kind": "wallet", "floor_minor": None} | given
    answer = await operator.post("/ledger/accounts", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.fixture
async def pair(operator: AsyncClient) -> tuple[str, str]:
    """An account without a floor, and one that must not go below zero."""
    return await open_account(operator), await open_account(operator, floor_minor=0)


def post(debit: str, credit: str, amount_minor: object = 1000, **more: object) -> dict[str, object]:
    leg = {"debit": debit, "credit": credit, "amount_minor": amount_minor}
    return {"action": "post", "id": new_id(), "legs": [leg]} | more


async def send(operator: AsyncClient, *requests: object) -> list[dict]:
    answer = await operator.post("/ledger/postings", json={"requests": requests})
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


async def test_a_batch_has_one_result_for_each(operator: AsyncClient, pair: Pair) -> None:
    source, wallet = pair
    good, poor = post(source, wallet), post(wallet, source, 99_999)
    results = await send(operator, good, poor, good, {**good, "metadata": {"other": 1}})
    outcomes = [result["outcome"] for result in results]
    assert outcomes == [
        *("posted", "insufficient_funds", "exists", "exists_with_other_content"),
    ]
    assert results[0]["movements"][0] | {"debit": "", "credit": ""} == {
        "leg": 0,
        "debit": "",
        "credit": "",
        "currency": "CNY",
        "amount_minor": 1000,
        "amount": "10.00",
        "debit_balance_minor": -1000,
        "debit_available_minor": -1000,
        "credit_balance_minor": 1000,
        "credit_available_minor": 1000,
    }
    assert results[2]["movements"] == results[0]["movements"]
    account = (await operator.get(f"/ledger/accounts/{wallet}")).json()
    assert (account["balance_minor"], account["balance"]) == (1000, "10.00")


async def test_linked_requests_stand_or_fall_together(operator: AsyncClient, pair: Pair) -> None:
    source, wallet = pair
    results = await send(
        operator,
        post(source, wallet, linked=True),
        post(wallet, source, 5000),
        post(source, wallet, 7),
    )
    assert [result["outcome"] for result in results] == [
        *("linked_failed", "insufficient_funds", "posted"),
    ]
    assert (await operator.get(f"/ledger/accounts/{wallet}")).json()["balance_minor"] == 7


async def test_the_last_request_cannot_be_linked(operator: AsyncClient, pair: Pair) -> None:
    answer = await operator.post("/ledger/postings", json={"requests": [post(*pair, linked=True)]})
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "requests.0.linked"
    assert (await operator.get(f"/ledger/accounts/{pair[1]}")).json()["balance_minor"] == 0


async def test_holds_are_captured_released_and_postings_reversed(
    operator: AsyncClient, pair: Pair
) -> None:
    source, wallet = pair
    paid, back = post(source, wallet, 10_000), post(source, wallet, 1)
    hold = post(wallet, source, 6000) | {"action": "hold"}
    [_, held, _] = await send(operator, paid, hold, back)
    bucket = held["bucket"]
    part = {"hold": hold["id"], "bucket": bucket}
    results = await send(
        operator,
        {"action": "capture", "id": new_id(), "amount_minor": 4000} | part,
        {"action": "release", "id": new_id()} | part,
        {"action": "reverse", "id": new_id(), "posting": back["id"], "bucket": (bucket)},
    )
    assert [result["outcome"] for result in results][:2] == ["posted", "posted"]
    account = (await operator.get(f"/ledger/accounts/{wallet}")).json()
    assert account["available_minor"] == account["balance_minor"]


async def test_a_statement_is_paged_and_exported(operator: AsyncClient, pair: Pair) -> None:
    source, wallet = pair
    await send(operator, *(post(source, wallet, amount) for amount in (1, 2, 3)))
    first = (await operator.get(f"/ledger/accounts/{wallet}/entries?limit=2")).json()
    assert [entry["balance_minor"] for entry in first["items"]] == [6, 3]
    assert first["items"][0]["created_at"].endswith("Z")
    path = f"/ledger/accounts/{wallet}/entries?limit=2&cursor={first['next_cursor']}"
    second = (await operator.get(path)).json()
    assert [entry["balance_minor"] for entry in second["items"]] == [1]
    assert second["next_cursor"] is None
    exported = await operator.get(f"/ledger/accounts/{wallet}/entries?format=csv&order=oldest")
    rows = list(csv.DictReader(io.StringIO(exported.text.removeprefix("\ufeff"))))
    assert [row["balance"] for row in rows] == ["0.01", "0.03", "0.06"]
    assert exported.headers["content-type"].startswith("text/csv")


async def test_a_balance_of_the_past_is_read_by_either_time(
    operator: AsyncClient, pair: Pair
) -> None:
    source, wallet = pair
    before = datetime.now(UTC).isoformat()
    await send(operator, post(source, wallet, 500, event_at="2020-01-01T00:00:00Z"))
    path = f"/ledger/accounts/{wallet}/balance"
    ledger = (await operator.get(path, params={"at": before})).json()
    world = (await operator.get(path, params={"at": before, "by": "world"})).json()
    assert (ledger["balance_minor"], world["balance_minor"]) == (0, 500)
    assert world["available_minor"] is None


async def test_postings_are_read_and_found_by_metadata(operator: AsyncClient, pair: Pair) -> None:
    request = post(*pair, metadata={"order": "A-1"})
    [result] = await send(operator, request)
    path = f"/ledger/postings/{result['bucket']}/{request['id']}"
    read = (await operator.get(path)).json()
    found = (await operator.get("/ledger/postings", params={"metadata": '{"order":"A-1"}'})).json()
    assert found["items"] == [read]
    assert read["metadata"] == {"order": "A-1"}
    assert (await operator.get(f"{path}/proof")).status_code == 409


async def test_a_frozen_account_refuses_and_says_who_froze_it(
    operator: AsyncClient, pair: Pair, owner: Connection
) -> None:
    source, wallet = pair
    path = f"/ledger/accounts/{wallet}"
    frozen = await operator.post(f"{path}/freeze", json={"reason": "lost phone", "credits": False})
    assert frozen.json()["frozen"] == {"debits": True, "credits": False}
    await send(operator, post(source, wallet, 100))
    [refused] = await send(operator, post(wallet, source, 50))
    assert refused["outcome"] == "frozen"
    assert (await operator.get(path)).json()["balance_minor"] == 100
    await operator.post(f"{path}/unfreeze", json={"reason": "found"})
    assert (await operator.get(path)).json()["frozen"] == {"debits": False, "credits": False}
    changes = await owner.fetch(
        "SELECT change, actor, reason FROM ledger.account_change ORDER BY id"
    )
    assert [tuple(change) for change in changes] == [
        ("freeze", "operator", "lost phone"),
        ("unfreeze", "operator", "found"),
    ]


async def test_the_trial_balance_balances(operator: AsyncClient, pair: Pair) -> None:
    await send(operator, post(*pair))
    [cny] = (await operator.get("/ledger/trial-balance")).json()["currencies"]
    assert (cny["currency"], cny["balanced"], cny["credit_total_minor"]) == ("CNY", True, 0)


async def test_accounts_are_listed_by_kind(operator: AsyncClient, pair: Pair) -> None:
    striped = await open_account(operator, kind="fee_income", striped=True)
    listed = (await operator.get("/ledger/accounts?kind=fee_income")).json()
    assert [account["id"] for account in listed["items"]] == [striped]
    first = (await operator.get("/ledger/accounts?limit=2")).json()
    rest = (await operator.get(f"/ledger/accounts?limit=2&cursor={first['next_cursor']}")).json()
    numbers = [account["id"] for account in first["items"] + rest["items"]]
    assert numbers == sorted({striped, *pair})
    assert rest["next_cursor"] is None


async def test_heads_are_listed_when_there_are_none(operator: AsyncClient) -> None:
    assert (await operator.get("/ledger/heads")).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("amount", [0, -1, 10**15 + 1, 1.5, "1", True, None, 10**40])
async def test_an_amount_that_is_none_is_refused(
    operator: AsyncClient, pair: Pair, amount: object
) -> None:
    answer = await operator.post("/ledger/postings", json={"requests": [post(*pair, amount)]})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["field"] == "requests.0.legs.0.amount_minor"
    assert error["money"] == "no money has moved"
    assert (await operator.get(f"/ledger/accounts/{pair[1]}")).json()["balance_minor"] == 0


async def test_metadata_that_cannot_be_kept_disturb_no_neighbour(
    operator: AsyncClient, pair: Pair
) -> None:
    bad = [{"a": "\x00"}, {"a": "\ud800"}, {"a": "x" * 5000}]
    requests = [post(*pair, metadata=metadata) for metadata in bad]
    body = json.dumps({"requests": [*requests, post(*pair, 3)]})
    answer = await operator.post("/ledger/postings", content=body, headers=JSON)
    results = answer.json()["results"]
    assert [one["outcome"] for one in results] == ["malformed"] * 3 + ["posted"]
