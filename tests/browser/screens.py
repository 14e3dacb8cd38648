"""Takes the pictures of docs/screens (`make screens`), or of every page (`--all DIRECTORY`)."""

from __future__ import annotations

import argparse
import asyncio
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from playwright.async_api import Browser  # noqa: E402 (found by the path above)

from browser.site import Site, open_chromium, open_site  # noqa: E402
from xinghan.kit.embedded import EmbeddedPostgres  # noqa: E402
from xinghan.kit.migrate import migrate  # noqa: E402

PHONE, DESK = (390, 844), (1440, 900)
# name, page, size, colours, language
SHOWN = (
    ("order-phone", "waiting", PHONE, "light", "zh-CN"),
    ("order-paid-phone", "paid", PHONE, "dark", "en"),
    ("order-desk", "waiting", DESK, "light", "en"),
    ("operator-overview", "overview", DESK, "light", "en"),
    ("operator-trade", "trade", DESK, "dark", "zh-CN"),
    ("operator-account-phone", "account", PHONE, "light", "zh-CN"),
)


async def fill(site: Site) -> dict[str, str]:
    """Put something on every page; give the pages' addresses by name."""
    sale = site.sale
    subjects = ("一壶冻顶乌龙", "桂花糕两份", "Two pots of oolong, one slice of osmanthus cake")
    trades = [
        await sale.pay("http://127.0.0.1:9/notify", subject=subject, total_minor=total)
        for subject, total in zip(subjects * 3, range(1280, 99_000, 9_876), strict=False)
    ]
    await sale.refund(trades[0], 500, "R-2026-001")
    part = await site.find(trades[0])
    full = trades[1]
    await sale.refund(full, full.total_minor, "R-2026-002")
    waiting = await site.make_order(2800, subject="一壶冻顶乌龙")
    soon = await site.make_order(
        2800, subject="桂花糕", expires_at=sale.clock.now() + timedelta(seconds=1)
    )
    long = await site.make_order(
        10**14 + 99, subject="A very long subject " * 12, notify_url="http://127.0.0.1:9/n"
    )
    closed = await site.make_order(2800, subject="冷泡茶")
    await sale.payments.close(closed.id, sale.merchant.id, sale.app_id)
    await site.deliver()
    await asyncio.sleep(1.2)
    account = site.shown(sale.payer_account)
    home = f"{site.url}/operator"
    return {
        "waiting": site.page_of(waiting),
        "paid": site.page_of(trades[2]),
        "part": site.page_of(part),
        "refunded": site.page_of(full),
        "expired": site.page_of(soon),
        "closed": site.page_of(closed),
        "long": site.page_of(long),
        "unknown": f"{site.url}/q/nothing",
        "sign-in": f"{home}/sign-in",
        "overview": home,
        "ledger": f"{home}/ledger",
        "accounts": f"{home}/accounts?kind=wallet&currency=CNY",
        "account": f"{home}/accounts/{account}",
        "posting": await site.posting_page(trades[0]),
        "trades": f"{home}/trades",
        "none": f"{home}/trades?state=TRADE_FINISHED",
        "trade": f"{home}/trades/{site.shown_trade(part)}",
        "notifications": f"{home}/notifications",
        "find": f"{home}/find?number=acc_nothing",
    }
