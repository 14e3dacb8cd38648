"""What the ledger's API is asked: each type is one shape of its JSON."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from xinghan.kit.native import Body
from xinghan.kit.native_types import AccountRef, AmountMinor, Bucket, Instant, PostingRef
from xinghan.ledger.model import (
    LEGS_MAX,
    TURNOVER_MAX_MINOR,
    Capture,
    Hold,
    Leg,
    NewAccount,
    Post,
    Release,
    Request,
    Reverse,
)

REQUESTS_MAX: Final = 1000

CurrencyCode = Annotated[
    str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217.", examples=["CNY"])
]
KindName = Annotated[
    str,
    Field(pattern=r"^[a-z_]{1,40}$", description="What it is for.", examples=["wallet"]),
]
Bound = Annotated[
    int | None,
    Field(strict=True, ge=-TURNOVER_MAX_MINOR, le=TURNOVER_MAX_MINOR),
]
Metadata = Annotated[
    dict[str, Any] | None,
    Field(
        description="JSON of at most 4096 bytes, kept with the posting and found by search.",
        examples=[{"order": "A-1001"}],
    ),
]
Linked = Annotated[
    bool,
    Field(
        strict=True,
        description="Whether this one stands or falls together with the next one of the list.",
    ),
]
LegNumber = Annotated[
    int, Field(strict=True, ge=0, lt=LEGS_MAX, description="Which leg of the hold, from 0.")
]


class NewAccountBody(Body):
    """An account to open."""

    currency: CurrencyCode
    kind: KindName
    debit_normal: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="Whether debits raise the balance, as of an asset."
    )
    floor_minor: Bound = Field(
        default=0, description="What is available never falls below it; null: no bound."
    )
    ceiling_minor: Bound = Field(
        default=None, description="The balance never rises above it; null: no bound."
    )
    striped: Annotated[bool, Field(strict=True)] = Field(
        default=False,
        description="Spread over all buckets, for accounts of merchants and of the platform that"
        " many pay at once; the bounds then hold for each stripe by itself.",
    )
    bucket: Bucket | None = Field(
        default=None, description="Where it lives; null: the platform chooses."
    )

    def new_account(self) -> NewAccount:
        """Give what the ledger is asked for."""
        return NewAccount(**self.model_dump())


class FreezeBody(Body):
    """Which sides of an account are meant, and why."""

    reason: str = Field(
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f]*\S[^\x00-\x08\x0b\x0c\x0e-\x1f]*$",
        description="Kept in the account's history beside who asked.",
        examples=["court order 12/2026"],
    )
    debits: Annotated[bool, Field(strict=True)] = True
    credits: Annotated[bool, Field(strict=True)] = True


class LegBody(Body):
    """One amount from the debited to the credited account, both of one currency."""

    debit: AccountRef
    credit: AccountRef
    amount_minor: AmountMinor
    debit_bucket: Bucket | None = Field(default=None, description="Only between stripes.")
    credit_bucket: Bucket | None = Field(default=None, description="Only between stripes.")

    def leg(self) -> Leg:
        """Give the ledger's leg."""
        return Leg(
            self.debit, self.credit, self.amount_minor, self.debit_bucket, self.credit_bucket
        )


Legs = Annotated[list[LegBody], Field(min_length=1, max_length=LEGS_MAX)]


class PostBody(Body):
    """Move money now."""

    action: Literal["post"]
    id: PostingRef
    legs: Legs
    event_at: Instant | None = Field(default=None, description="When it happened in the world.")
    metadata: Metadata = None
    linked: Linked = False

    def request(self) -> Request:
        """Give the ledger's request."""
        return Post(self.id, tuple(leg.leg() for leg in self.legs), self.event_at, self.metadata)


class HoldBody(Body):
    """Keep money back until it is captured or released, or until it expires."""

    action: Literal["hold"]
    id: PostingRef
    legs: Legs
    expires_at: Instant | None = Field(default=None, description="By the database's clock.")
    event_at: Instant | None = None
    metadata: Metadata = None
    linked: Linked = False

    def request(self) -> Request:
        """Give the ledger's request."""
        legs = tuple(leg.leg() for leg in self.legs)
        return Hold(self.id, legs, self.expires_at, self.event_at, self.metadata)


class CaptureBody(Body):
    """Take what a hold keeps back, or a part of it; several times."""

    action: Literal["capture"]
    id: PostingRef
    hold: PostingRef
    bucket: Bucket
    amount_minor: AmountMinor
    leg: LegNumber = 0
    event_at: Instant | None = None
    linked: Linked = False

    def request(self) -> Request:
        """Give the ledger's request."""
        return Capture(self.id, self.hold, self.bucket, self.amount_minor, self.leg, self.event_at)


class ReleaseBody(Body):
    """Give back what a hold keeps; without an amount, all that is left."""

    action: Literal["release"]
    id: PostingRef
    hold: PostingRef
    bucket: Bucket
    amount_minor: AmountMinor | None = None
    leg: LegNumber = 0
    linked: Linked = False

    def request(self) -> Request:
        """Give the ledger's request."""
        return Release(self.id, self.hold, self.bucket, self.amount_minor, self.leg)


class ReverseBody(Body):
    """Undo a whole posting by one with its sides exchanged; once."""

    action: Literal["reverse"]
    id: PostingRef
    posting: PostingRef
    bucket: Bucket
    event_at: Instant | None = None
    metadata: Metadata = None
    linked: Linked = False

    def request(self) -> Request:
        """Give the ledger's request."""
        return Reverse(self.id, self.posting, self.bucket, self.event_at, self.metadata)


RequestBody: TypeAlias = Annotated[
    PostBody | HoldBody | CaptureBody | ReleaseBody | ReverseBody, Field(discriminator="action")
]


class PostingsBody(Body):
    """A batch of requests."""

    requests: list[RequestBody] = Field(min_length=1, max_length=REQUESTS_MAX)
