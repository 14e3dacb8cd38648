"""A batch gives one result per request, and a bad one never fails its neighbours."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from bookkeeping import Bookkeeper, new_id, outcomes, until_one_waits
from xinghan.kit.db import Connection
from xinghan.ledger import (
    Capture,
    Hold,
    Leg,
    Outcome,
    Post,
    Release,
    Reverse,
    close_account,
    freeze_account,
    limit_account,
)
from xinghan.ledger.model import Request
from xinghan.ledger.numbers import account_number


async def test_one_result_for_each_request_in_order(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    hold = Hold(new_id(), (Leg(lin, mei, 10),))
    sale = Post(new_id(), (Leg(lin, mei, 20),))
    bucket = lin & 255
    requests: list[Request] = [
        sale,
        hold,
        Post(new_id(), (Leg(lin, mei, 1000),)),
        Capture(new_id(), hold.id, bucket, 4),
        Capture(new_id(), hold.id, bucket, 7),
        Release(new_id(), hold.id, bucket),
        Release(new_id(), hold.id, bucket),
        Reverse(new_id(), sale.id, bucket),
        Reverse(new_id(), sale.id, bucket),
        Reverse(new_id(), hold.id, bucket),
        sale,
        replace(sale, legs=(Leg(lin, mei, 21),)),
    ]
    results = await books.ledger.post_batch(requests)
    assert outcomes(results) == [
        Outcome.POSTED,
        Outcome.POSTED,
        Outcome.INSUFFICIENT_FUNDS,
        Outcome.POSTED,
        Outcome.HOLD_EXCEEDED,
        Outcome.POSTED,
        Outcome.HOLD_SPENT,
        Outcome.POSTED,
        Outcome.ALREADY_REVERSED,
        Outcome.NOT_REVERSIBLE,
        Outcome.EXISTS,
        Outcome.EXISTS_WITH_OTHER_CONTENT,
    ]
    assert [result.id for result in results] == [request.id for request in requests]
    assert await books.minor(lin, mei) == [96, 4]
    assert {result.created_at is not None for result in results if result.done} == {True}


@pytest.mark.parametrize(
    "broken",
    [
        {"legs": (Leg(1.5, 2.5, 3),)},
        {"legs": (Leg(account_number(1, 156, 1), account_number(2, 156, 1), 1.5),)},
        {"legs": (Leg(2**63, 2**70, 1),)},
        {"event_at": datetime(2026, 1, 1)},  # noqa: DTZ001 (naive, which is the point)
        {"event_at": datetime(9999, 12, 31, 23, tzinfo=UTC)},
        {"metadata": {"a": object()}},
        {"metadata": {"a": "nul\0"}},
        {"metadata": {"a": "\udfff"}},
        {"metadata": ["no", "object"]},
        {"metadata": {"a": "x" * 5000}},
        {"id": "no uuid"},
    ],
)
async def test_what_cannot_be_read_fails_alone(books: Bookkeeper, broken: dict[str, Any]) -> None:
    lin, mei = await books.funded(100), await books.open()
    good = Post(new_id(), (Leg(lin, mei, 1),))
    bad = replace(good, **({"id": new_id()} | broken))
    neighbours = [good, replace(good, id=new_id())]
    results = await books.ledger.post_batch([neighbours[0], bad, neighbours[1]])
    assert outcomes(results) == [Outcome.POSTED, Outcome.MALFORMED, Outcome.POSTED]
    again = await asyncio.gather(*map(books.ledger.post, [*neighbours, bad]))
    assert outcomes(again) == [Outcome.EXISTS, Outcome.EXISTS, Outcome.MALFORMED]
    linked = await books.ledger.post_linked([replace(good, id=new_id()), bad])
    assert outcomes(linked) == [Outcome.LINKED_FAILED, Outcome.MALFORMED]
    assert await books.minor(lin, mei) == [98, 2]


async def test_numbers_at_the_edge_of_what_can_be_kept(books: Bookkeeper) -> None:
    """Metadata whose numbers the database writes in another way are still the same metadata."""
    lin, mei = await books.funded(100), await books.open()
    metadata: dict[str, object] = {
        "float": 1e308,
        "small": 5e-324,
        "whole": 2**70,
        "tuple": (1, (2.0,)),
        "minus": -0.0,
        "nan": float("nan"),
    }
    for value in metadata.items():
        request = Post(new_id(), (Leg(lin, mei, 1),), metadata=dict([value]))
        assert (await books.ledger.post(request)).outcome is Outcome.POSTED, value
        assert (await books.ledger.post(request)).outcome is Outcome.EXISTS, value
    other = replace(request, metadata={"nan": 0})
    assert (await books.ledger.post(other)).outcome is Outcome.EXISTS_WITH_OTHER_CONTENT


async def test_a_big_batch_is_one_batch(books: Bookkeeper) -> None:
    """It is written in slices, and a later one builds on an earlier one."""
    lin, mei = await books.funded(1000), await books.open()
    bucket = lin & 255
    hold = Hold(new_id(), (Leg(lin, mei, 300),))
    sales = [Post(new_id(), (Leg(lin, mei, 1),)) for _ in range(900)]
    requests: list[Request] = [
        hold,
        *sales[:400],
        Capture(new_id(), hold.id, bucket, 100),
        Reverse(new_id(), sales[0].id, bucket),
        *sales[400:],
        sales[1],
        Release(new_id(), hold.id, bucket, 101),
        Release(new_id(), hold.id, bucket),
        Post(new_id(), (Leg(lin, mei, 1),)),
    ]
    results = outcomes(await books.ledger.post_batch(requests))
    # 700 can be spent beside the hold, and one more that came back.
    assert results[:403] == [Outcome.POSTED] * 403
    assert results[403:903] == [Outcome.POSTED] * 301 + [Outcome.INSUFFICIENT_FUNDS] * 199
    assert results[903:] == [
        Outcome.EXISTS,
        Outcome.POSTED,
        Outcome.POSTED,
        Outcome.POSTED,
    ]
    assert await books.minor(lin, mei) == [199, 801]


async def test_many_callers_at_once_share_the_ledger(books: Bookkeeper) -> None:
    accounts = [await books.funded(1000) for _ in range(5)]
    pairs = [(a, b) for a in accounts for b in accounts if a != b]
    requests = [Post(new_id(), (Leg(*pairs[n % len(pairs)], 1 + n % 7),)) for n in range(600)]
    other_process = Bookkeeper(books.database)
    results = await asyncio.gather(
        *(books.ledger.post(request) for request in requests[::2]),
        *(other_process.ledger.post(request) for request in requests[1::2]),
        other_process.ledger.post_batch(requests),
    )
    assert {result.done for result in results[:-1]} == {True}
    assert sum(await books.minor(*accounts)) == 5000


async def test_the_last_money_is_spent_once(books: Bookkeeper) -> None:
    lin, mei = await books.funded(100), await books.open()
    doors = [Bookkeeper(books.database).ledger for _ in range(5)]
    requests = [Post(new_id(), (Leg(lin, mei, 100),)) for _ in range(50)]
    results = await asyncio.gather(
        *(doors[n % 5].post(request) for n, request in enumerate(requests))
    )
    assert sorted(outcomes(results)) == ["insufficient_funds"] * 49 + ["posted"]
    assert await books.minor(lin, mei) == [0, 100]


@pytest.mark.parametrize("change", ["freeze", "limit", "close"])
async def test_a_posting_never_overtakes_a_change_of_its_account(
    books: Bookkeeper, owner: Connection, change: str
) -> None:
    """The posting reads the account before the change is committed, and writes after it."""
    lin, mei = await books.funded(100), await books.open()

    async def apply(connection: Connection) -> None:
        if change == "freeze":
            await freeze_account(connection, mei, "operator", "test")
        elif change == "limit":
            await limit_account(
                connection, mei, "operator", "test", floor_minor=0, ceiling_minor=50
            )
        else:
            await close_account(connection, mei, "operator", "test")

    request = Post(new_id(), (Leg(lin, mei, 60),))
    async with books.database.transaction() as connection:
        await apply(connection)
        posting = asyncio.ensure_future(books.ledger.post(request))
        await until_one_waits(owner)
    wanted = {
        "freeze": Outcome.FROZEN,
        "limit": Outcome.CEILING_EXCEEDED,
        "close": Outcome.CLOSED,
    }
    assert (await posting).outcome is wanted[change]
    assert await books.minor(lin, mei) == [100, 0]
