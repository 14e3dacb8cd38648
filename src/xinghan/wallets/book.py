"""The numbers of accounts, kept in the process: an account's number never changes."""

from collections import OrderedDict
from collections.abc import Awaitable
from typing import Final, TypeAlias

from xinghan.identity import PersonKey
from xinghan.kit.db import Connection
from xinghan.kit.ids import AccountId, MerchantId
from xinghan.kit.money import Currency
from xinghan.wallets import store
from xinghan.wallets.actions import platform_account
from xinghan.wallets.model import Purpose

ACCOUNTS_MAX: Final = 100_000

_Owner: TypeAlias = PersonKey | MerchantId | Purpose


class AccountBook:
    """Finds accounts, keeping those used last. One is kept only once it is sure to stay."""

    def __init__(self, *, accounts_max: int = ACCOUNTS_MAX) -> None:
        self._accounts_max = accounts_max
        self._accounts: OrderedDict[tuple[_Owner, str], AccountId] = OrderedDict()

    def __len__(self) -> int:
        """Count the accounts that are kept."""
        return len(self._accounts)

    async def find_wallet(
        self, connection: Connection, owner: PersonKey, currency: Currency
    ) -> AccountId | None:
        """Find a person's account; None when the person has none in this currency."""
        return self.kept(owner, currency) or await self._keep(
            owner, currency, store.fetch_wallet(connection, owner, currency.code)
        )

    async def find_merchant_account(
        self, connection: Connection, merchant: MerchantId, currency: Currency
    ) -> AccountId | None:
        """Find a merchant's account; None when the merchant has none in this currency."""
        return self.kept(merchant, currency) or await self._keep(
            merchant, currency, store.fetch_merchant_account(connection, merchant, currency.code)
        )

    async def find_platform_account(
        self, connection: Connection, purpose: Purpose, currency: Currency
    ) -> AccountId | None:
        """Find an account of the platform; None when nothing has needed it yet."""
        return self.kept(purpose, currency) or await self._keep(
            purpose, currency, store.fetch_platform_account(connection, purpose, currency.code)
        )

    async def platform_account(
        self, connection: Connection, purpose: Purpose, currency: Currency
    ) -> AccountId:
        """Give an account of the platform, opening it in this transaction when it is missing."""
        return await self.find_platform_account(
            connection, purpose, currency
        ) or await platform_account(connection, purpose, currency)

    def kept(self, owner: _Owner, currency: Currency) -> AccountId | None:
        """Give an account that is kept here, without asking the database."""
        account = self._accounts.get((owner, currency.code))
        if account is not None:
            self._accounts.move_to_end((owner, currency.code))
        return account

    async def _keep(
        self, owner: _Owner, currency: Currency, looking: Awaitable[store.Found | None]
    ) -> AccountId | None:
        found = await looking
        if found is None:
            return None
        if found.settled:
            self._accounts[owner, currency.code] = found.account
            if len(self._accounts) > self._accounts_max:
                self._accounts.popitem(last=False)
        return found.account
