"""What a shop is told of its trade, in the parameters that its SDK knows."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from xinghan.gateway.notification import NotificationForm, build_notification, is_acknowledged
from xinghan.identity import App, Person, PersonKey, fetch_person
from xinghan.kit.clock import Clock, format_gateway_time
from xinghan.kit.db import Database
from xinghan.kit.ids import AccountId, PersonId
from xinghan.kit.money import Currency, Money, format_amount
from xinghan.kit.numbering import trade_no
from xinghan.kit.signing import SignType
from xinghan.kit.vault import Vault
from xinghan.ledger.numbers import buckets_of
from xinghan.payments.model import Trade
from xinghan.payments.notifications import Claimed, Told

VERSION: Final = "1.0"
NOTIFY_TYPE: Final = "trade_status_sync"
CHARSET_DEFAULT: Final = "utf-8"

_NOTIFY_ID = re.compile(r"[0-9a-f]{34}")

FindApp = Callable[[str], Awaitable[App | None]]


@dataclass(frozen=True, slots=True)
class Parties:
    """Who pays whom, by the numbers that shops know; no buyer as long as nobody has paid."""

    seller_id: str
    buyer_id: str = ""
    buyer_logon_id: str = ""


class Notices:
    """Writes notices and signs them with the app's present key: the `Wire` of payments.delivery."""

    def __init__(self, database: Database, vault: Vault, find_app: FindApp, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._find_app = find_app
        self._clock = clock

    async def render(self, claimed: Claimed, told: Told) -> NotificationForm | None:
        """Write what happened as a signed form; None when the app is unknown or may not call."""
        app = await self._find_app(claimed.app_id)
        if app is None:
            return None
        parties = await self._find_parties(app, told.trade)
        common = {
            "notify_time": format_gateway_time(self._clock.now()),
            "notify_type": NOTIFY_TYPE,
            "notify_id": notify_id_of(claimed.bucket, claimed.id),
            "app_id": claimed.app_id,
            "auth_app_id": claimed.app_id,
            "version": VERSION,
        }
        return await build_notification(
            common | trade_parameters(told, parties),
            app.platform_private_key,
            sign_type=_sign_type(app, told.trade),
            charset=_text(told.trade, "charset") or CHARSET_DEFAULT,
        )

    def accepts(self, status: int, body: bytes) -> bool:
        """Say whether an answer means that the shop knows now."""
        return is_acknowledged(status, body)

    async def _find_parties(self, app: App, trade: Trade) -> Parties:
        seller_id = app.merchant.user_id
        if trade.buyer is None or trade.buyer_account is None:
            return Parties(seller_id)
        key = _key_of_buyer(trade.buyer, trade.buyer_account)
        async with self._database.acquire() as connection:
            buyer = await fetch_person(connection, self._vault, key)
        if buyer is None:
            return Parties(seller_id)
        return Parties(seller_id, buyer.user_id, masked_logon_id(buyer))


def trade_parameters(told: Told, parties: Parties) -> dict[str, str]:
    """Give the parameters that tell of a trade; those without a value are empty."""
    trade, refund = told.trade, told.refund
    total, refunded = format_amount(trade.total), format_amount(trade.refunded)
    is_paid = trade.paid_at is not None
    paid = total if is_paid else ""
    channels = msgspec.json.encode([{"amount": total, "fundChannel": "ALIPAYACCOUNT"}]).decode()
    return {
        "trade_no": trade_no(trade.id),
        "out_trade_no": trade.out_trade_no,
        "out_biz_no": refund.out_request_no if refund and not refund.cancels else "",
        "buyer_id": parties.buyer_id,
        "buyer_logon_id": parties.buyer_logon_id,
        "seller_id": parties.seller_id,
        "trade_status": trade.state.value,
        "total_amount": total,
        "receipt_amount": paid,
        "invoice_amount": paid,
        "buyer_pay_amount": paid,
        "point_amount": format_amount(_nothing(trade)) if is_paid else "",
        "refund_fee": refunded if trade.refunded_minor else "",
        "subject": trade.subject,
        "body": _text(trade, "body"),
        "gmt_create": format_gateway_time(trade.created_at),
        "gmt_payment": format_gateway_time(trade.paid_at) if trade.paid_at else "",
        "gmt_refund": _with_milliseconds(refund.created_at) if refund else "",
        "gmt_close": format_gateway_time(trade.closed_at) if trade.closed_at else "",
        "fund_bill_list": channels if is_paid else "",
        "passback_params": _text(trade, "passback_params"),
    }


def notify_id_of(bucket: int, notification: UUID) -> str:
    """Give the number of a notification that shops see; `read_notify_id` reads it back."""
    return f"{bucket:02x}{notification.hex}"


def read_notify_id(text: str) -> tuple[int, UUID] | None:
    """Read bucket and id from a notification's number; None for anything else."""
    if not _NOTIFY_ID.fullmatch(text):
        return None
    return int(text[:2], 16), UUID(text[2:])


def masked_logon_id(person: Person) -> str:
    """Show enough of a payer's name for the payer to know it, and no more."""
    return f"{person.name[:1]}***"


def _key_of_buyer(buyer: PersonId, account: AccountId) -> PersonKey:
    """Find where a payer's rows are: with the payer's account."""
    return PersonKey(buckets_of(account)[0], buyer)


def _with_milliseconds(instant: datetime) -> str:
    return f"{format_gateway_time(instant)}.{instant.microsecond // 1000:03}"


def _nothing(trade: Trade) -> Money:
    return Money(0, Currency.of(trade.currency))


def _sign_type(app: App, trade: Trade) -> SignType:
    """Sign as the order was signed, if the app still may; otherwise as well as it can check."""
    asked = _text(trade, "sign_type")
    if asked in app.sign_types:
        return SignType(asked)
    return SignType.RSA2 if SignType.RSA2 in app.sign_types else SignType.RSA


def _text(trade: Trade, name: str) -> str:
    found = trade.details.get(name)
    return found if isinstance(found, str) else ""
