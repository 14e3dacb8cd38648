"""What befalls the one who tells shops is never held against a shop."""

from datetime import timedelta

import pytest

from cast.clock import FixedClock
from cast.sale import Sale
from xinghan.kit.db import ConnectionLost, Database
from xinghan.kit.outgoing import Outgoing
from xinghan.kit.vault import Vault
from xinghan.payments.delivery import Deliverer
from xinghan.payments.notifications import LEASE, Claimed, Told, list_attempts, list_notifications


class CutWire:
    """Has to look something up in a database that is away."""

    async def render(self, claimed: Claimed, told: Told) -> None:
        raise ConnectionLost(f"no database for {told.trade.out_trade_no} of {claimed.app_id}")

    def accepts(self, status: int, body: bytes) -> bool:
        return (status, body) == (200, b"success")


async def test_a_lost_database_uses_up_no_try_of_the_schedule(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = FixedClock()
    sale = await Sale.prepare(database, Vault({1: bytes(range(32))}), clock)
    trade = await sale.pay("http://127.0.0.1:9/notify")
    async with Outgoing(()) as outgoing:
        deliverer = Deliverer(database, clock, outgoing, CutWire())
        assert await deliverer.send_due() == 1
        await deliverer.finish()
        await deliverer.stop(timedelta(0))
    async with database.acquire() as connection:
        [notification] = await list_notifications(connection, trade.id)
        [attempt] = await list_attempts(connection, trade.bucket, notification.id)
    assert attempt.outcome is None
    assert notification.next_attempt_at == clock.now() + LEASE
    assert "Traceback" not in capsys.readouterr().out
