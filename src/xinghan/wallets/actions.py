"""Opening accounts, and moving play money into wallets and out of them."""

from collections.abc import Awaitable, Callable
from functools import partial

from xinghan.identity import PersonKey
from xinghan.kit.db import Connection
from xinghan.kit.ids import AccountId, MerchantId, PostingId
from xinghan.kit.money import Currency, Money
from xinghan.ledger.accounts import fetch_balance, open_account
from xinghan.ledger.model import Leg, NewAccount, Outcome, Post
from xinghan.ledger.posting import post_in
from xinghan.wallets import rules, store
from xinghan.wallets.model import Moved, Purpose, WalletBalance, WalletNotFound


async def open_wallet(connection: Connection, owner: PersonKey, currency: Currency) -> AccountId:
    """Open a person's wallet in a currency, or find the one that is open."""
    return await _open_once(
        connection,
        f"wallet {owner.id} {currency.code}",
        rules.wallet_account(owner.bucket, currency),
        partial(store.fetch_wallet, connection, owner, currency.code),
        partial(store.insert_wallet, connection, owner, currency.code),
    )


async def open_merchant_account(
    connection: Connection, merchant: MerchantId, currency: Currency
) -> AccountId:
    """Open a merchant's account in a currency, or find the one that is open."""
    return await _open_once(
        connection,
        f"merchant {merchant} {currency.code}",
        rules.merchant_account(currency),
        partial(store.fetch_merchant_account, connection, merchant, currency.code),
        partial(store.insert_merchant_account, connection, merchant, currency.code),
    )


async def platform_account(
    connection: Connection, purpose: Purpose, currency: Currency
) -> AccountId:
    """Give the platform's account for a purpose in a currency, opening it when needed first."""
    return await _open_once(
        connection,
        f"platform {purpose} {currency.code}",
        rules.platform_account(purpose, currency),
        partial(store.fetch_platform_account, connection, purpose, currency.code),
        partial(store.insert_platform_account, connection, purpose, currency.code),
    )


async def top_up(
    connection: Connection, owner: PersonKey, amount: Money, posting: PostingId
) -> Moved:
    """Move play money from the sandbox's funding account into a wallet.

    The same id and content again moves nothing and gives the same answer. Raises WalletNotFound,
    AmountOutOfBounds, BalanceTooHigh, WalletFrozen, WalletClosed, IdUsedBefore; and what `post_in`
    raises when the transaction has to be run again.
    """
    wallet, funding = await _both_sides(connection, owner, amount.currency)
    leg = Leg(funding, wallet, amount.amount_minor)
    return await _move(connection, Post(posting, (leg,)), wallet, amount)


async def withdraw(
    connection: Connection, owner: PersonKey, amount: Money, posting: PostingId
) -> Moved:
    """Move money out of a wallet, back to the sandbox's funding account.

    Repeats and errors are those of `top_up`; raises BalanceTooLow when less is available.
    """
    wallet, funding = await _both_sides(connection, owner, amount.currency)
    leg = Leg(wallet, funding, amount.amount_minor)
    return await _move(connection, Post(posting, (leg,)), wallet, amount)


async def fetch_wallet_balance(
    connection: Connection, owner: PersonKey, currency: Currency
) -> WalletBalance:
    """Read what a person has in a currency. Raises WalletNotFound."""
    account = await _wallet_of(connection, owner, currency)
    balance = await fetch_balance(connection, account)
    return WalletBalance(
        account, Money(balance.balance_minor, currency), Money(balance.available_minor, currency)
    )


async def _open_once(
    connection: Connection,
    name: str,
    new: NewAccount,
    fetch: Callable[[], Awaitable[store.Found | None]],
    insert: Callable[[AccountId], Awaitable[None]],
) -> AccountId:
    """Find an account or open it; whoever opens the same one meanwhile waits and then finds it."""
    found = await fetch()
    if found is None:
        await store.lock_opening(connection, name)
        found = await fetch()
    if found is not None:
        return found.account
    account = await open_account(connection, new)
    await insert(account)
    return account


async def _both_sides(
    connection: Connection, owner: PersonKey, currency: Currency
) -> tuple[AccountId, AccountId]:
    wallet = await _wallet_of(connection, owner, currency)
    return wallet, await platform_account(connection, Purpose.SANDBOX_FUNDING, currency)


async def _wallet_of(connection: Connection, owner: PersonKey, currency: Currency) -> AccountId:
    found = await store.fetch_wallet(connection, owner, currency.code)
    if found is None:
        raise WalletNotFound(field="currency", currency=currency.code)
    return found.account


async def _move(connection: Connection, post: Post, wallet: AccountId, amount: Money) -> Moved:
    [[result]] = await post_in(connection, [(post,)])
    if not result.done:
        raise rules.refusal_of(result, amount)
    [movement] = result.movements
    incoming = movement.credit == wallet
    after_minor = movement.credit_balance_minor if incoming else movement.debit_balance_minor
    return Moved(
        post.id,
        amount,
        Money(after_minor, amount.currency),
        repeated=result.outcome is Outcome.EXISTS,
    )
