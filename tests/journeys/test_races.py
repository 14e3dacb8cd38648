"""Everybody at once, through the HTTP door and two serving processes: nothing happens twice."""

import asyncio
from collections import Counter
from collections.abc import Awaitable

import httpx

from journeys.scene import Payer, Scene, Shop, new_number

AT_ONCE = 50


async def all_at_once(*calls: Awaitable[dict]) -> list[dict]:
    return list(await asyncio.gather(*calls))


def codes(nodes: list[dict]) -> Counter[str]:
    return Counter(str(node.get("sub_code", node["code"])) for node in nodes)


def order(number: str, amount: str = "10.00") -> dict[str, object]:
    return {"out_trade_no": number, "subject": "乌龙", "total_amount": amount}


def pay(
    client: httpx.AsyncClient, shop: Shop, payer: Payer, number: str, amount: str = "10.00"
) -> Awaitable[dict]:
    content = {**order(number, amount), "auth_code": payer.code()}
    return shop.call(client, "alipay.trade.pay", **content)


async def test_an_order_that_two_payers_pay_at_once_is_paid_once(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin, bo = await scene.shop(fee_bps=0), await scene.payer(), await scene.payer()
    numbers = [new_number() for _ in range(10)]
    lins, bos = await scene.phones(lin, 10), await scene.phones(bo, 10)
    pairs = zip(lins, bos, numbers, strict=True)
    nodes = await all_at_once(
        *(pay(client, shop, payer, n) for one, other, n in pairs for payer in (one, other))
    )
    assert codes(nodes) == {"10000": 10, "ACQ.TRADE_HAS_SUCCESS": 10}
    winners = Counter(node["buyer_user_id"] for node in nodes if node["code"] == "10000")
    left = [f"{1000 - 10 * winners[payer.user_id]}.00" for payer in (lin, bo)]
    assert await scene.balances(lin, bo, shop) == [*left, "100.00"]
    await scene.books.check()


async def test_a_refund_asked_for_fifty_times_at_once_is_made_once(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin, number = await scene.shop(), await scene.payer(), new_number()
    await pay(client, shop, lin, number)
    refund = {"out_trade_no": number, "refund_amount": "4.00", "out_request_no": "R1"}
    nodes = await all_at_once(
        *(shop.call(client, "alipay.trade.refund", **refund) for _ in range(AT_ONCE))
    )
    assert codes(nodes) == {"10000": AT_ONCE}
    assert Counter(node["fund_change"] for node in nodes) == {"Y": 1, "N": AT_ONCE - 1}
    assert {node["refund_fee"] for node in nodes} == {"4.00"}
    assert await scene.balances(lin) == ["994.00"]
    await scene.books.check()


async def test_refunds_together_never_exceed_the_order(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin, number = await scene.shop(), await scene.payer(), new_number()
    await pay(client, shop, lin, number)
    refund = {"out_trade_no": number, "refund_amount": "3.00"}
    nodes = await all_at_once(
        *(
            shop.call(client, "alipay.trade.refund", **refund, out_request_no=f"R{one}")
            for one in range(AT_ONCE)
        )
    )
    assert codes(nodes) == {"10000": 3, "ACQ.REFUND_AMT_NOT_EQUAL_TOTAL": AT_ONCE - 3}
    assert await scene.balances(lin) == ["999.00"]
    await scene.books.check()


async def test_the_last_hundred_yuan_are_spent_once(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin = await scene.shop(fee_bps=0), await scene.payer("100.00")
    phones = await scene.phones(lin, AT_ONCE)
    nodes = await all_at_once(*(pay(client, shop, one, new_number(), "30.00") for one in phones))
    assert codes(nodes) == {"10000": 3, "ACQ.BUYER_BALANCE_NOT_ENOUGH": AT_ONCE - 3}
    assert await scene.balances(lin, shop) == ["10.00", "90.00"]
    await scene.books.check()


async def test_a_number_makes_one_order_however_often_it_is_asked_for(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin, number = await scene.shop(), await scene.payer(), new_number()
    content = {**order(number), "buyer_id": lin.user_id}
    before = await scene.books.everything()
    nodes = await all_at_once(
        *(shop.call(client, "alipay.trade.create", **content) for _ in range(AT_ONCE))
    )
    assert codes(nodes) == {"10000": AT_ONCE}
    assert len({node["trade_no"] for node in nodes}) == 1
    assert await scene.books.everything() == before


async def test_of_two_orders_under_one_number_one_stands(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, number = await scene.shop(), new_number()
    nodes = await all_at_once(
        *(
            shop.call(client, "alipay.trade.precreate", **order(number, amount))
            for _ in range(AT_ONCE // 2)
            for amount in ("10.00", "10.01")
        )
    )
    assert codes(nodes) == {"10000": AT_ONCE // 2, "ACQ.CONTEXT_INCONSISTENT": AT_ONCE // 2}


async def test_a_payment_sent_fifty_times_at_once_is_made_once(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin, number = await scene.shop(), await scene.payer(), new_number()
    nodes = await all_at_once(*(pay(client, shop, lin, number) for _ in range(AT_ONCE)))
    assert codes(nodes) == {"10000": AT_ONCE}
    assert len({node["trade_no"] for node in nodes}) == 1
    assert await scene.balances(lin) == ["990.00"]
    await scene.books.check()


async def test_a_code_scanned_by_many_tills_at_once_pays_one_order(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin = await scene.shop(), await scene.payer()
    content = {**order(""), "auth_code": lin.code()}
    nodes = await all_at_once(
        *(
            shop.call(client, "alipay.trade.pay", **{**content, "out_trade_no": new_number()})
            for _ in range(AT_ONCE)
        )
    )
    assert codes(nodes) == {"10000": 1, "ACQ.PAYMENT_AUTH_CODE_INVALID": AT_ONCE - 1}
    assert await scene.balances(lin) == ["990.00"]
    await scene.books.check()


async def test_an_order_paid_and_cancelled_at_once_costs_nothing(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    shop, lin = await scene.shop(fee_bps=0), await scene.payer()
    numbers = [new_number() for _ in range(10)]
    phones = await scene.phones(lin, 10)
    for number in numbers:
        await shop.call(client, "alipay.trade.precreate", **order(number))
    await all_at_once(
        *(pay(client, shop, phone, n) for phone, n in zip(phones, numbers, strict=True)),
        *(shop.call(client, "alipay.trade.cancel", out_trade_no=n) for n in numbers),
    )
    nodes = await all_at_once(
        *(shop.call(client, "alipay.trade.query", out_trade_no=n) for n in numbers)
    )
    assert {node["trade_status"] for node in nodes} == {"TRADE_CLOSED"}
    assert await scene.balances(lin, shop) == ["1000.00", "0.00"]
    await scene.books.check()
