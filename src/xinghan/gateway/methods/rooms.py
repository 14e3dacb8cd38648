"""What the methods work with: the rooms below the gateway, and the app that calls."""

from dataclasses import dataclass, field

from xinghan.gateway.model import Call
from xinghan.identity import App
from xinghan.kit.clock import Clock
from xinghan.kit.db import Database
from xinghan.kit.vault import Vault
from xinghan.payments.desk import Payments
from xinghan.wallets import AccountBook


@dataclass(frozen=True, slots=True)
class Rooms:
    """The rooms that methods act in; `order_key` makes the tokens of orders' codes."""

    database: Database
    vault: Vault
    payments: Payments
    accounts: AccountBook
    clock: Clock
    public_url: str
    order_key: bytes = field(repr=False)


def app_of(call: Call) -> App:
    """Give the app that calls, with the merchant it acts for."""
    app = call.app
    if not isinstance(app, App):
        raise TypeError("the methods of trades act for a merchant, whom only identity's App names")
    return app
