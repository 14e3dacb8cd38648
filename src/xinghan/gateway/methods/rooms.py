"""What the methods work with: the rooms below the gateway, and the app that calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from xinghan.gateway.model import Call
from xinghan.identity import App, Device, fetch_devices
from xinghan.kit.clock import Clock
from xinghan.kit.db import Connection, Database
from xinghan.kit.group import Group, reading
from xinghan.kit.vault import Vault
from xinghan.payments.desk import Payments
from xinghan.wallets import AccountBook


@dataclass(frozen=True, slots=True)
class Rooms:
    """The rooms that methods act in; `order_key` makes the tokens of orders' codes.

    `devices` finds phones by number, many with one statement.
    """

    database: Database
    vault: Vault
    payments: Payments
    accounts: AccountBook
    clock: Clock
    public_url: str
    order_key: bytes = field(repr=False)
    devices: Group[int, Device | None] = field(init=False)

    def __post_init__(self) -> None:
        async def find(connection: Connection, numbers: Sequence[int]) -> list[Device | None]:
            return await fetch_devices(connection, self.vault, numbers)

        object.__setattr__(self, "devices", reading(self.database, find))


def app_of(call: Call) -> App:
    """Give the app that calls, with the merchant it acts for."""
    app = call.app
    if not isinstance(app, App):
        raise TypeError("the methods of trades act for a merchant, whom only identity's App names")
    return app
