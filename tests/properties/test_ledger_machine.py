"""The ledger on PostgreSQL and a few lines of Python must agree, whatever is asked of them.

Requests of every kind, old ones again, linked groups, several callers at once, freezes and limits.
After every step each row of every account equals the model's, every currency sums to zero, and
versions have no gap. `XINGHAN_PROPERTIES=long` runs many more and longer histories.
"""

import asyncio
import os
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from bookkeeping import Bookkeeper, outcomes
from properties.model import Model, Row, bucket_of
from xinghan.kit.db import Connection, Database
from xinghan.kit.ids import AccountId, PostingId
from xinghan.ledger import (
    AccountBeyondLimit,
    AccountClosed,
    AccountNotEmpty,
    Capture,
    Hold,
    Leg,
    NewAccount,
    Outcome,
    Post,
    Release,
    Request,
    Result,
    Reverse,
    close_account,
    expire_holds,
    freeze_account,
    limit_account,
    open_accounts,
    post_in,
    unfreeze_account,
)
from xinghan.ledger.expiry import expiry_id
from xinghan.ledger.numbers import account_number, buckets_of

LONG: Final = os.environ.get("XINGHAN_PROPERTIES") == "long"
SETTINGS: Final = settings(
    max_examples=500 if LONG else 50,
    stateful_step_count=80 if LONG else 30,
    derandomize=not LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
NOBODY: Final = -1
CAST: Final = (
    NewAccount("CNY", "wallet", bucket=1),
    NewAccount("CNY", "wallet", bucket=1, ceiling_minor=150),
    NewAccount("CNY", "wallet", bucket=2, floor_minor=-20),
    NewAccount("CNY", "merchant", striped=True),
    NewAccount("CNY", "cash", debit_normal=True, bucket=1),
    NewAccount("CNY", "funding", floor_minor=None, bucket=2),
    NewAccount("JPY", "wallet", bucket=1),
    NewAccount("JPY", "merchant", floor_minor=None, striped=True),
)
STATE: Final = """
    SELECT id, bucket, credits_posted - debits_posted AS balance, debits_pending, credits_pending,
        version, debits_refused, credits_refused, closed,
        (SELECT count(*) FROM ledger.entry AS e
            WHERE e.bucket = a.bucket AND e.account = a.id) AS entries,
        (SELECT coalesce(max(version), 0) FROM ledger.entry AS e
            WHERE e.bucket = a.bucket AND e.account = a.id) AS last_entry,
        (SELECT coalesce(sum(change), 0)::bigint FROM ledger.entry AS e
            WHERE e.bucket = a.bucket AND e.account = a.id) AS sum_of_entries
    FROM ledger.account AS a
    WHERE id = ANY($1) AND (version > 0 OR debits_refused OR credits_refused OR closed)
"""

CNY, JPY = range(6), range(6, 8)
PAIRS: Final = [
    *((a, b) for currency in (CNY, JPY) for a in currency for b in currency if a != b),
    (3, 3),  # between stripes
    (0, 0),
    (0, 6),
    (1, NOBODY),
]


class LegSketch(NamedTuple):
    """One leg before it is known which accounts there are."""

    pair: tuple[int, int]
    amount_minor: int
    debit_bucket: int | None
    credit_bucket: int | None


class Sketch(NamedTuple):
    """A request before it is known what it can refer to, so that drawing it depends on nothing."""

    kind: object
    legs: list[LegSketch]
    which: int
    leg: int
    amount_minor: int
    option: bool


amounts = st.sampled_from([*range(1, 31), 0, -1, 100, 1000])
stripes = st.sampled_from([None, None, None, 1, 2])
leg_sketches = st.builds(LegSketch, st.sampled_from(PAIRS), amounts, stripes, stripes)
kinds = st.sampled_from(
    [Post, Post, Post, Hold, Hold, Capture, Capture, Release, Reverse, "again", "other"]
)
sketches = st.builds(
    Sketch,
    kinds,
    st.sampled_from([1, 1, 1, 2, 3]).flatmap(
        lambda n: st.lists(leg_sketches, min_size=n, max_size=n)
    ),
    st.integers(0, 2**16),
    st.sampled_from([0, 0, 0, 1]),
    amounts,
    st.booleans(),
)
groups_of_sketches = st.sampled_from([1, 1, 1, 1, 1, 2, 3]).flatmap(
    lambda n: st.lists(sketches, min_size=n, max_size=n)
)
places = st.integers(0, len(CAST) - 1)


class LedgerMachine(RuleBasedStateMachine):
    """Drives one ledger and its model side by side, on accounts of its own."""

    def __init__(self, runner: asyncio.Runner, books: Sequence[Bookkeeper]) -> None:
        super().__init__()
        self.run_async = runner.run
        self.books = books
        self.model = Model()
        self.accounts: list[AccountId] = []
        self.asked: list[Request] = []
        self.ids = count(uuid4().int >> 64 << 64)

    def teardown(self) -> None:
        """Leave no hold behind that the next history would expire."""
        self.run_async(self.books[0].run(lambda c: expire_holds(c, 1000)))

    def new_id(self) -> PostingId:
        """Make ids that fall into the same buckets whenever a history is played again."""
        return PostingId(UUID(int=next(self.ids)))

    @initialize()
    def open(self) -> None:
        async def open_all(connection: Connection) -> list[AccountId]:
            return await open_accounts(connection, CAST)

        self.accounts = self.run_async(self.books[0].run(open_all))
        for account, new in zip(self.accounts, CAST, strict=True):
            for bucket in buckets_of(account):
                row = Row(new.debit_normal, new.floor_minor, new.ceiling_minor)
                self.model.rows[account, bucket] = row
        for account in self.accounts[:3]:
            self.post_together([[Post(self.new_id(), (Leg(self.accounts[5], account, 100),))]])

    def account(self, place: int) -> AccountId:
        return account_number(2**44, 156, 1) if place == NOBODY else self.accounts[place]

    def build(self, sketch: Sketch, known: Sequence[Request]) -> Request:
        """Make a request of a sketch: one that refers to another chooses among those known."""
        wanted = {Capture: Hold, Release: Hold, Reverse: Post}.get(sketch.kind, object)
        fitting = [request for request in known if isinstance(request, wanted)]
        named = fitting[sketch.which % len(fitting)] if fitting else None
        if sketch.kind in {Post, Hold} or named is None:
            return self.build_new(sketch)
        if sketch.kind == "again":
            return named
        if sketch.kind == "other":
            return self.build_other(named, sketch)
        bucket = bucket_of(named)
        if sketch.kind is Reverse:
            # Now and then something that cannot be reversed.
            odd = known[sketch.which % len(known)] if sketch.leg else named
            return Reverse(self.new_id(), odd.id, bucket_of(odd))
        if sketch.kind is Capture:
            return Capture(self.new_id(), named.id, bucket, sketch.amount_minor, sketch.leg)
        part = None if sketch.option else sketch.amount_minor
        return Release(self.new_id(), named.id, bucket, part, sketch.leg)

    def build_new(self, sketch: Sketch) -> Request:
        legs = tuple(
            Leg(*map(self.account, leg.pair), leg.amount_minor, leg.debit_bucket, leg.credit_bucket)
            for leg in sketch.legs
        )
        metadata = {"order": [1, 2.5]} if sketch.option else None
        if sketch.kind is not Hold:
            return Post(self.new_id(), legs, metadata=metadata)
        over = LONG_AGO if sketch.which % 5 == 0 else None
        return Hold(self.new_id(), legs, over, metadata=metadata)

    def build_other(self, old: Request, sketch: Sketch) -> Request:
        """Give an old request other content, mostly."""
        if isinstance(old, Post | Hold):
            legs = (replace(old.legs[0], amount_minor=sketch.amount_minor), *old.legs[1:])
            return replace(old, legs=legs)
        if isinstance(old, Capture | Release):
            return replace(old, amount_minor=sketch.amount_minor)
        return replace(old, posting=self.new_id())

    def build_all(self, groups: Sequence[Sequence[Sketch]]) -> list[list[Request]]:
        """Build requests that refer to accepted ones, or to each other, or repeat any of before."""
        accepted = list(self.model.accepted.values())
        built: list[list[Request]] = []
        for group in groups:
            built.append([])
            for sketch in group:
                repeats = sketch.kind in {"again", "other"}
                request = self.build(sketch, self.asked if repeats else accepted)
                built[-1].append(request)
                accepted.append(request)
                self.asked.append(request)
        return built

    def post_together(self, groups: list[list[Request]]) -> None:
        """Post groups as one batch: every outcome and every balance is known beforehand."""
        results = self.run_async(
            self.books[0].run(lambda c: post_in(c, [tuple(group) for group in groups]))
        )
        for group, answers in zip(groups, results, strict=True):
            assert outcomes(answers) == self.model.post(group)

    @rule(drawn=st.lists(groups_of_sketches, min_size=1, max_size=5))
    def batch(self, drawn: list[list[Sketch]]) -> None:
        self.post_together(self.build_all(drawn))

    @rule(drawn=sketches)
    def one(self, drawn: Sketch) -> None:
        ((request,),) = self.build_all([[drawn]])
        result = self.run_async(self.books[0].ledger.post(request))
        assert [result.outcome] == self.model.post([request])

    @rule(drawn=st.lists(groups_of_sketches, min_size=2, max_size=8))
    def at_once(self, drawn: list[list[Sketch]]) -> None:
        """Several callers at once: there must be an order in which the model says the same."""
        groups = self.build_all(drawn)

        async def ask() -> list[list[Result]]:
            return await asyncio.gather(
                *(
                    self.books[place % len(self.books)].ledger.post_linked(group)
                    for place, group in enumerate(groups)
                )
            )

        answers = self.run_async(ask())
        asked = list(zip(groups, answers, strict=True))
        moved = [item for item in asked if any(one.outcome is Outcome.POSTED for one in item[1])]
        # Within one transaction all have one instant, and stand in the order in which they came.
        moved.sort(key=lambda item: max(one.created_at or LONG_AGO for one in item[1]))
        moments = [deepcopy(self.model)]
        for group, results in moved:
            assert self.model.post(group) == outcomes(results)
            moments.append(deepcopy(self.model))
        for group, results in asked:
            if (group, results) not in moved:
                assert any(
                    deepcopy(moment).post(group) == outcomes(results) for moment in moments
                ), (group, results)

    @rule(place=places, debits=st.booleans(), thaw=st.booleans())
    def freeze(self, place: int, debits: bool, thaw: bool) -> None:  # noqa: FBT001 (drawn)
        account = self.accounts[place]
        change = unfreeze_account if thaw else freeze_account
        sides = {"debits": debits, "credits": not debits}
        if self.change(account, lambda c: change(c, account, "machine", "drawn", **sides)):
            for row in self.rows(account):
                if debits:
                    row.debits_refused = not thaw
                else:
                    row.credits_refused = not thaw

    @rule(place=places, floor=st.none() | st.integers(-50, 20), room=st.none() | st.integers(0, 99))
    def limit(self, place: int, floor: int | None, room: int | None) -> None:
        account = self.accounts[place]
        ceiling = None if room is None else (floor or 0) + room
        bounds: dict[str, Any] = {"floor_minor": floor, "ceiling_minor": ceiling}
        kept = all(_keeps(row, floor, ceiling) for row in self.rows(account))
        if self.change(
            account, lambda c: limit_account(c, account, "machine", "drawn", **bounds), kept=kept
        ):
            for row in self.rows(account):
                row.floor, row.ceiling = floor, ceiling

    @precondition(lambda self: len(self.asked) > 20)
    @rule(place=places)
    def close(self, place: int) -> None:
        account = self.accounts[place]
        empty = not any(row.balance or row.leaving or row.coming for row in self.rows(account))
        if self.change(
            account, lambda c: close_account(c, account, "machine", "drawn"), kept=empty
        ):
            for row in self.rows(account):
                row.closed = True

    @rule()
    def expire(self) -> None:
        over = {key: hold[2] for key, hold in self.model.holds.items() if hold[3] and hold[2]}
        released = self.run_async(self.books[0].run(lambda c: expire_holds(c, 1000)))
        assert released == len(over)
        for (bucket, hold, leg), left in over.items():
            release = Release(expiry_id(hold, leg), hold, bucket, left, leg, expiry=True)
            assert self.model.post([release]) == [Outcome.POSTED]

    def rows(self, account: AccountId) -> list[Row]:
        return [self.model.rows[account, bucket] for bucket in buckets_of(account)]

    def change(self, account: AccountId, work: Any, *, kept: bool = True) -> bool:  # noqa: ANN401
        """Change an account where the model allows it, else see that it is refused."""
        if self.rows(account)[0].closed:
            with pytest.raises(AccountClosed):
                self.run_async(self.books[0].run(work))
            return False
        if not kept:
            with pytest.raises((AccountBeyondLimit, AccountNotEmpty)):
                self.run_async(self.books[0].run(work))
            return False
        self.run_async(self.books[0].run(work))
        return True

    @invariant()
    def the_books_are_the_model(self) -> None:
        if not self.accounts:
            return
        found = self.run_async(self.fetch_state())
        seen = {}
        sums: dict[int, int] = {}
        for row in found:
            seen[row["id"], row["bucket"]] = (
                row["balance"],
                row["debits_pending"],
                row["credits_pending"],
                row["version"],
                row["debits_refused"],
                row["credits_refused"],
                row["closed"],
            )
            assert row["version"] == row["entries"] == row["last_entry"]
            assert row["balance"] == row["sum_of_entries"]
            currency = row["id"] >> 8 & 1023
            sums[currency] = sums.get(currency, 0) + row["balance"]
        assert seen == {
            key: (
                row.balance,
                row.leaving,
                row.coming,
                row.movements,
                row.debits_refused,
                row.credits_refused,
                row.closed,
            )
            for key, row in self.model.rows.items()
            if row.movements or row.debits_refused or row.credits_refused or row.closed
        }
        assert set(sums.values()) <= {0}

    async def fetch_state(self) -> list[Any]:
        async with self.books[0].database.acquire() as connection:
            return await connection.fetch(STATE, self.accounts)


def _keeps(row: Row, floor: int | None, ceiling: int | None) -> bool:
    low, high = row.balance - row.leaving, row.balance + row.coming
    available, most = (-high, -low) if row.debit_normal else (low, high)
    return (floor is None or available >= floor) and (ceiling is None or most <= ceiling)


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as own:
        yield own


@pytest.mark.slow
def test_the_ledger_agrees_with_the_model(database_url: str, runner: asyncio.Runner) -> None:
    database = runner.run(Database.open(database_url))
    doors = [Bookkeeper(database) for _ in range(3)]
    try:
        run_state_machine_as_test(lambda: LedgerMachine(runner, doors), settings=SETTINGS)
        runner.run(doors[0].check())
    finally:
        runner.run(database.close())
