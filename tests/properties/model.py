"""A ledger in a few lines of plain Python: slow, obvious, and without a database."""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from xinghan.kit.ids import AccountId
from xinghan.ledger import Capture, Hold, Leg, Outcome, Post, Release, Request, Reverse, home_bucket
from xinghan.ledger.numbers import is_striped, same_currency

Key: TypeAlias = tuple[AccountId, int]


@dataclass
class Row:
    """One row of an account: what it holds, what is on its way, and what it may."""

    debit_normal: bool
    floor: int | None
    ceiling: int | None
    balance: int = 0  # credits less debits
    leaving: int = 0
    coming: int = 0
    movements: int = 0
    debits_refused: bool = False
    credits_refused: bool = False
    closed: bool = False

    def breaks(self, *, leaving: int = 0, coming: int = 0) -> Outcome | None:
        """Say which bound breaks when so much more is on its way."""
        low = self.balance - self.leaving - leaving
        high = self.balance + self.coming + coming
        available, most = (-high, -low) if self.debit_normal else (low, high)
        outward = bool(leaving) != self.debit_normal
        if outward and self.floor is not None and available < self.floor:
            return Outcome.INSUFFICIENT_FUNDS
        exceeded = not outward and self.ceiling is not None and most > self.ceiling
        return Outcome.CEILING_EXCEEDED if exceeded else None


class RefusedError(Exception):
    """The request is refused, for the outcome in `args`."""


@dataclass
class Model:
    """All rows, what is left of each leg of a hold, and every request that was accepted."""

    rows: dict[Key, Row] = field(default_factory=dict)
    holds: dict[tuple[int, object, int], tuple[Key, Key, int, bool]] = field(default_factory=dict)
    accepted: dict[tuple[int, object], Request] = field(default_factory=dict)
    reversed: set[tuple[int, object]] = field(default_factory=set)

    def post(self, group: list[Request]) -> list[Outcome]:
        """Post a group that stands or falls together."""
        old = [(bucket_of(request), request.id) in self.accepted for request in group]
        if any(old) and not all(old):
            return failed(group, old.index(True), Outcome.EXISTS_WITH_OTHER_CONTENT)
        before = deepcopy(vars(self))
        outcomes = []
        for place, request in enumerate(group):
            try:
                outcomes.append(self.post_one(request))
            except RefusedError as refused:
                vars(self).update(before)
                return failed(group, place, refused.args[0])
        return outcomes

    def post_one(self, request: Request) -> Outcome:
        bucket = bucket_of(request)
        before = self.accepted.get((bucket, request.id))
        if before is not None:
            if isinstance(request, Release) and request.amount_minor is None:
                request = replace(request, amount_minor=getattr(before, "amount_minor", None))
            require(before == request, Outcome.EXISTS_WITH_OTHER_CONTENT)
            return Outcome.EXISTS
        match request:
            case Post() | Hold():
                self.move(request, request.legs, bucket)
            case Capture() | Release():
                request = self.settle(request)
            case Reverse():
                self.reverse(request)
        self.accepted[bucket, request.id] = request
        return Outcome.POSTED

    def move(self, request: Request, legs: tuple[Leg, ...], bucket: int) -> None:
        require(bool(legs), Outcome.LEGS_OUT_OF_BOUNDS)
        for number, leg in enumerate(legs):
            debit_key = (leg.debit, stripe(leg.debit, leg.debit_bucket, bucket))
            credit_key = (leg.credit, stripe(leg.credit, leg.credit_bucket, bucket))
            amount = leg.amount_minor
            require(amount > 0, Outcome.AMOUNT_OUT_OF_BOUNDS)
            require(debit_key != credit_key, Outcome.SAME_ACCOUNT)
            require({debit_key, credit_key} <= self.rows.keys(), Outcome.ACCOUNT_NOT_FOUND)
            require(same_currency(leg.debit, leg.credit), Outcome.CURRENCY_MISMATCH)
            debit, credit = self.rows[debit_key], self.rows[credit_key]
            inside = leg.debit == leg.credit
            require(not debit.closed, Outcome.CLOSED)
            require(inside or not debit.debits_refused, Outcome.FROZEN)
            refuse(debit.breaks(leaving=amount))
            require(not credit.closed, Outcome.CLOSED)
            require(inside or not credit.credits_refused, Outcome.FROZEN)
            refuse(credit.breaks(coming=amount))
            if isinstance(request, Hold):
                debit.leaving += amount
                credit.coming += amount
                over = request.expires_at is not None
                self.holds[bucket, request.id, number] = (debit_key, credit_key, amount, over)
            else:
                debit.balance -= amount
                credit.balance += amount
            debit.movements += 1
            credit.movements += 1

    def settle(self, request: Capture | Release) -> Request:
        key = (request.bucket, request.hold, request.leg)
        require(key in self.holds, Outcome.HOLD_NOT_FOUND)
        debit_key, credit_key, left, over = self.holds[key]
        if isinstance(request, Capture):
            require(request.amount_minor > 0, Outcome.AMOUNT_OUT_OF_BOUNDS)
        require(left > 0, Outcome.HOLD_SPENT)
        require(isinstance(request, Release) or not over, Outcome.HOLD_EXPIRED)
        amount = left if request.amount_minor is None else request.amount_minor
        require(amount > 0, Outcome.AMOUNT_OUT_OF_BOUNDS)
        require(amount <= left, Outcome.HOLD_EXCEEDED)
        debit, credit = self.rows[debit_key], self.rows[credit_key]
        debit.leaving -= amount
        credit.coming -= amount
        if isinstance(request, Capture):
            debit.balance -= amount
            credit.balance += amount
        debit.movements += 1
        credit.movements += 1
        self.holds[key] = (debit_key, credit_key, left - amount, over)
        return replace(request, amount_minor=amount)

    def reverse(self, request: Reverse) -> None:
        key = (request.bucket, request.posting)
        require(key in self.accepted, Outcome.POSTING_NOT_FOUND)
        original = self.accepted[key]
        if not isinstance(original, Post):
            raise RefusedError(Outcome.NOT_REVERSIBLE)
        require(key not in self.reversed, Outcome.ALREADY_REVERSED)
        back = tuple(
            Leg(leg.credit, leg.debit, leg.amount_minor, leg.credit_bucket, leg.debit_bucket)
            for leg in reversed(original.legs)
        )
        self.move(request, back, request.bucket)
        self.reversed.add(key)


def bucket_of(request: Request) -> int:
    return home_bucket(request) if isinstance(request, Post | Hold) else request.bucket


def stripe(account: AccountId, named: int | None, bucket: int) -> int:
    return (bucket if named is None else named) if is_striped(account) else account & 255


def failed(group: list[Request], place: int, outcome: Outcome) -> list[Outcome]:
    return [outcome if here == place else Outcome.LINKED_FAILED for here in range(len(group))]


def require(holds: bool, outcome: Outcome) -> None:  # noqa: FBT001 (it reads like an assertion)
    if not holds:
        raise RefusedError(outcome)


def refuse(outcome: Outcome | None) -> None:
    if outcome is not None:
        raise RefusedError(outcome)
