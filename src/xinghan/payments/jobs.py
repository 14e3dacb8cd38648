"""What payments does after commits and by the clock; each gives how much there was to do."""

from __future__ import annotations

from xinghan.payments.delivery import Deliverer
from xinghan.payments.desk import Payments


async def deliver_notifications(deliverer: Deliverer) -> int:
    """Begin to tell shops what they have to be told by now."""
    return await deliverer.send_due()


async def end_due_trades(payments: Payments) -> int:
    """Close the unpaid trades and finish the paid ones whose time is over."""
    return await payments.end_due()
