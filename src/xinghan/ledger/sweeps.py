"""Moves money between the stripes of one account, where a debit finds too little in its own stripe.

A payment into a striped account credits the stripe of the payer's bucket, so that a refund to
another bucket may find that stripe empty while the account is rich.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from uuid import uuid5

from xinghan.kit.db import Connection
from xinghan.kit.ids import ACCOUNT, AccountId, PostingId
from xinghan.ledger.books import Counters
from xinghan.ledger.model import (
    AMOUNT_MAX_MINOR,
    BUCKETS,
    AccountNotFound,
    Hold,
    InsufficientFunds,
    Leg,
    Outcome,
    Post,
    Result,
)
from xinghan.ledger.numbers import home_bucket, is_striped, row_key, touched_by_legs
from xinghan.ledger.posting import Linked, post_in
from xinghan.ledger.store import lock_accounts


async def post_sweeping(connection: Connection, groups: Sequence[Linked]) -> list[list[Result]]:
    """Post groups as `post_in` does, but sweep first where a striped payer's stripe has too little.

    One result for each request of the groups; a sweep is a posting of its own, linked before the
    group that needs it. What all stripes together lack stays `INSUFFICIENT_FUNDS`.
    """
    attempt = connection.transaction()
    await attempt.start()
    results = await post_in(connection, groups)
    lacking = [group for group, answers in zip(groups, results, strict=True) if _lacks(answers)]
    rows = {row for group in lacking for row in _all_stripes(group)}
    if not rows:
        await attempt.commit()
        return results
    # Going back gives up the locks, so that all can be taken in order.
    await attempt.rollback()
    for group, answers in zip(groups, results, strict=True):
        if all(answer.outcome is not Outcome.MALFORMED for answer in answers):
            rows.update(_touched(group))
    await lock_accounts(connection, rows)
    results = await post_in(connection, groups)
    return [
        await _post_after_sweeps(connection, group, answers) if _lacks(answers) else answers
        for group, answers in zip(groups, results, strict=True)
    ]


async def plan_sweep(
    connection: Connection,
    account: AccountId,
    into_bucket: int,
    needed_minor: int,
) -> tuple[Leg, ...]:
    """Plan the legs that let a striped account be debited by `needed_minor` in `into_bucket`.

    The richest stripes give first; nothing has to move when the stripe has enough or no floor. The
    stripes stay locked, so that the plan holds until the end of the transaction. Post the legs
    before the debit, linked, under `sweep_id`. Raises InsufficientFunds when all stripes together
    have too little, AccountNotFound.
    """
    wanted = [(bucket, account) for bucket in range(BUCKETS)]
    rows = await lock_accounts(connection, wanted)
    stripes = [rows.get(row_key(account, bucket)) for bucket in range(BUCKETS)]
    found = [stripe for stripe in stripes if stripe is not None]
    if len(found) < BUCKETS:
        raise AccountNotFound(account=ACCOUNT.show(account))
    return _legs_into(account, found, into_bucket, needed_minor)


def sweep_id(debit: PostingId, account: AccountId) -> PostingId:
    """Derive the id of the sweep that a debit needs: a UUIDv5 of the account's number in its id.

    The same debit posted again finds its own sweep, and no other debit can have it.
    """
    return PostingId(uuid5(debit, f"sweep {account}"))


def _legs_into(
    account: AccountId, stripes: Sequence[Counters], into_bucket: int, needed_minor: int
) -> tuple[Leg, ...]:
    spare = {stripe.bucket: _spare(stripe) for stripe in stripes}
    here = spare.pop(into_bucket)
    if here is None or here >= needed_minor:
        return ()
    lacking = needed_minor - here
    legs: list[Leg] = []
    for bucket, amount in sorted(spare.items(), key=lambda stripe: (-(stripe[1] or 0), stripe[0])):
        taken = min(amount or 0, lacking, AMOUNT_MAX_MINOR)
        if taken > 0:
            legs.append(Leg(account, account, taken, bucket, into_bucket))
            lacking -= taken
    if lacking:
        raise InsufficientFunds(account=ACCOUNT.show(account))
    return tuple(legs)


def _spare(stripe: Counters) -> int | None:
    """Give what the stripe can be debited by before its floor; None: no floor stops a debit."""
    if stripe.floor is None or stripe.debit_normal:
        return None
    return stripe.credits_posted - stripe.debits_posted - stripe.debits_pending - stripe.floor


def _lacks(answers: Sequence[Result]) -> bool:
    return any(answer.outcome is Outcome.INSUFFICIENT_FUNDS for answer in answers)


def _touched(group: Linked) -> list[tuple[int, AccountId]]:
    return [
        row
        for request in _movers(group)
        for row in touched_by_legs(request.legs, home_bucket(request))
    ]


def _all_stripes(group: Linked) -> list[tuple[int, AccountId]]:
    """Give every row of the striped accounts that a group debits."""
    return [(bucket, account) for _, account in _needs(group) for bucket in range(BUCKETS)]


def _movers(group: Linked) -> list[Post | Hold]:
    return [request for request in group if isinstance(request, Post | Hold)]


async def _post_after_sweeps(
    connection: Connection, group: Linked, refused: list[Result]
) -> list[Result]:
    sweeps = []
    try:
        for (into_bucket, account), (needed_minor, debit) in sorted(_needs(group).items()):
            legs = await plan_sweep(connection, account, into_bucket, needed_minor)
            if legs:
                sweeps.append(Post(sweep_id(debit, account), legs))
    except InsufficientFunds:
        return refused
    (results,) = await post_in(connection, [(*sweeps, *group)])
    swept, answers = results[: len(sweeps)], results[len(sweeps) :]
    stopped = any(not sweep.done and sweep.outcome is not Outcome.LINKED_FAILED for sweep in swept)
    return refused if stopped else answers


def _needs(group: Linked) -> dict[tuple[int, AccountId], tuple[int, PostingId]]:
    """Give the most that each stripe has to lend on the way, and to which request first."""
    drawn: defaultdict[tuple[int, AccountId], int] = defaultdict(int)
    needs: dict[tuple[int, AccountId], tuple[int, PostingId]] = {}
    for request in _movers(group):
        rows = touched_by_legs(request.legs, home_bucket(request))
        for leg, debit, credit in zip(request.legs, rows[::2], rows[1::2], strict=True):
            drawn[debit] += leg.amount_minor
            most, first = needs.get(debit, (0, request.id))
            if is_striped(leg.debit) and drawn[debit] > most:
                needs[debit] = (drawn[debit], first)
            if isinstance(request, Post):
                drawn[credit] -= leg.amount_minor
    return needs
