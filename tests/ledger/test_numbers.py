"""An account's number says its currency and its bucket."""

import pytest

from bookkeeping import new_id
from xinghan.kit.ids import AccountId
from xinghan.ledger import Hold, Leg, Post, home_bucket, is_striped
from xinghan.ledger.model import ACCOUNT_MAX, BUCKETS
from xinghan.ledger.numbers import (
    account_number,
    buckets_of,
    currency_numeric_of,
    row_key,
    same_currency,
)

LIN = account_number(1, 156, 9)
MEI = account_number(2, 156, 63)
SHOP = account_number(3, 156, None)
FEES = account_number(4, 156, None)


@pytest.mark.parametrize("bucket", [0, 1, 63, None])
@pytest.mark.parametrize("currency", [8, 156, 999])
def test_a_number_is_read_back(bucket: int | None, currency: int) -> None:
    number = account_number(2**45 - 1, currency, bucket)
    assert 0 < number <= ACCOUNT_MAX
    assert currency_numeric_of(number) == currency
    assert is_striped(number) == (bucket is None)
    assert list(buckets_of(number)) == (list(range(BUCKETS)) if bucket is None else [bucket])


def test_currencies_are_compared_and_nothing_else() -> None:
    assert same_currency(LIN, SHOP)
    assert not same_currency(LIN, account_number(1, 978, 9))


def test_each_stripe_has_its_own_key() -> None:
    keys = {row_key(account, b) for account in (SHOP, FEES) for b in range(BUCKETS)}
    assert len(keys) == 2 * BUCKETS
    assert row_key(LIN, 9) == LIN


@pytest.mark.parametrize(
    ("legs", "home"),
    [
        ((Leg(LIN, SHOP, 1),), 9),
        ((Leg(SHOP, MEI, 1),), 63),
        ((Leg(SHOP, FEES, 1), Leg(MEI, SHOP, 1), Leg(LIN, SHOP, 1)), 63),
        ((Leg(SHOP, FEES, 1), Leg(SHOP, LIN, 1)), 9),
        ((Leg(SHOP, SHOP, 1, 5, 6), Leg(SHOP, SHOP, 1, 4, 6)), 5),
    ],
)
@pytest.mark.parametrize("kind", [Post, Hold])
def test_a_posting_lives_with_its_payer(
    kind: type[Post | Hold], legs: tuple[Leg, ...], home: int
) -> None:
    assert home_bucket(kind(new_id(), legs)) == home


def test_a_posting_between_striped_accounts_lives_where_its_id_says() -> None:
    posting = Post(new_id(), (Leg(SHOP, FEES, 1),))
    assert home_bucket(posting) == posting.id.int % BUCKETS
    assert home_bucket(Post(posting.id, (Leg(AccountId(SHOP), FEES, 2),))) == home_bucket(posting)
