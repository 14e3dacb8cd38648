"""Puts something on every page, and says where the pages are."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from bookkeeping import wait_for_others
from browser.site import Site
from xinghan.kit.ids import ACCOUNT, POSTING, TRADE
from xinghan.ledger.proof import SEED_PURPOSE, HeadKey, HeadsFile, seal_tail
from xinghan.ledger.store import fetch_written
from xinghan.payments.listing import list_all_notifications
from xinghan.payments.model import Trade
from xinghan.payments.notifications import AttemptOutcome, Due, Tried, claim, record

NOTIFY_URL = "http://127.0.0.1:9/notify"
SUBJECTS = ("一壶冻顶乌龙", "桂花糕两份", "Two pots of oolong and a slice of osmanthus cake")
TOTALS = (2800, 3600, 12_850, 960, 188_800, 4200)
LONG = "https://teahouse.example/a-very-long-word-without-any-space-in-it-" + "tea" * 40


async def fill(site: Site, data: Path) -> dict[str, str]:
    """Play a day at the teahouse; give the address of each page by name."""
    sale = site.sale
    paid = [
        await site.pay(total, subject=SUBJECTS[place % len(SUBJECTS)], notify_url=NOTIFY_URL)
        for place, total in enumerate(TOTALS)
    ]
    await sale.refund(paid[0], 800, "R-2026-001")
    await sale.refund(paid[1], paid[1].total_minor, "R-2026-002")
    now = sale.clock.now()
    orders = {
        "waiting": await site.make_order(2800, subject=SUBJECTS[0]),
        "later": await site.make_order(2800, subject=LONG, expires_at=now + timedelta(days=3)),
        "long": await site.make_order(10**14 + 99, subject=LONG),
        "closed": await site.make_order(1200, subject=SUBJECTS[1]),
        "expired": await site.make_order(1200, expires_at=now + timedelta(seconds=1)),
        "paid": paid[2],
        "part": paid[0],
        "refunded": paid[1],
    }
    await sale.payments.close(orders["closed"].id, sale.merchant.id, sale.app_id)
    await _tell(site)
    await _seal(site, data)
    await asyncio.sleep(1.1)
    pages = {name: site.page_of(order) for name, order in orders.items()}
    return pages | {"unknown": f"{site.url}/q/nothing"} | await _operator_pages(site, paid[0])


async def _operator_pages(site: Site, trade: Trade) -> dict[str, str]:
    home = f"{site.url}/operator"
    async with site.sale.database.acquire() as connection:
        keys = [(bucket, trade.id) for bucket in range(64)]
        [(bucket, posting)] = await fetch_written(connection, keys)
    return {
        "overview": home,
        "ledger": f"{home}/ledger",
        "accounts": f"{home}/accounts",
        "account": f"{home}/accounts/{ACCOUNT.show(site.sale.payer_account)}",
        "posting": f"{home}/postings/{bucket}/{POSTING.show(posting)}",
        "trades": f"{home}/trades",
        "none": f"{home}/trades?state=TRADE_FINISHED",
        "trade": f"{home}/trades/{TRADE.show(trade.id)}",
        "notifications": f"{home}/notifications",
        "nowhere": f"{home}/find?number=acc_nothing",
    }


async def _tell(site: Site) -> None:
    """Let tries succeed and fail as shops' servers make them."""
    outcomes = [
        (AttemptOutcome.REFUSED, 500, "Internal Server Error", 212),
        (AttemptOutcome.DELIVERED, 200, "success", 41),
        (AttemptOutcome.UNREACHABLE, None, "connection refused", 3),
    ]
    now = site.sale.clock.now()
    for step in range(2):
        at = now + timedelta(minutes=5 * step)
        async with site.sale.database.transaction() as connection:
            told = (await list_all_notifications(connection, limit=100)).items
            due = [Due(one.bucket, one.id, one.app_id, "127.0.0.1:9") for one in told]
            claimed = await claim(connection, due, at)
            tried = [
                Tried(one, *outcomes[(place + step) % len(outcomes)])
                for place, one in enumerate(claimed)
            ]
            await record(connection, tried, at)


async def _seal(site: Site, data: Path) -> None:
    key = HeadKey(site.app.state.platform.vault.subkey(SEED_PURPOSE))
    await wait_for_others(site.sale.database)
    await seal_tail(site.sale.database, key, HeadsFile(data / "heads"))
