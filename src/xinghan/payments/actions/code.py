"""Checks the code that a payer's phone shows, and stops whoever guesses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from xinghan.kit.db import Connection, Database
from xinghan.kit.ids import DeviceId, MerchantId, PersonId
from xinghan.payments import store
from xinghan.payments.codes import device_number_of, matching_step, step_at
from xinghan.payments.model import CodeGuessed, CodeInvalid, CodeUse

FAILURES_MAX_PER_MERCHANT: Final = 10
FAILURES_MAX_PER_DEVICE: Final = 5
FAILURES_WINDOW: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class CodeDevice:
    """A phone that shows codes: whose it is, where it lives, and its secret (32 bytes)."""

    id: DeviceId
    bucket: int
    person: PersonId
    secret: bytes


FindDevice = Callable[[Connection, int], Awaitable[CodeDevice | None]]


async def check_code(
    database: Database, find_device: FindDevice, code: str, merchant: MerchantId, now: datetime
) -> tuple[CodeDevice, CodeUse]:
    """Tell whose phone shows `code` at this moment, and what marks the code as used.

    Raises CodeInvalid for a wrong or old code, CodeGuessed when this shop, or anybody for this
    phone, was wrong too often in the last hour; a right code is then refused as well.
    """
    number = device_number_of(code)
    async with database.acquire() as connection:
        device = await find_device(connection, number) if number is not None else None
        subjects = [merchant, *([device.id] if device else [])]
        failures = await store.count_failures(connection, subjects, now - FAILURES_WINDOW)
        if failures.get(merchant, 0) >= FAILURES_MAX_PER_MERCHANT or (
            device is not None and failures.get(device.id, 0) >= FAILURES_MAX_PER_DEVICE
        ):
            raise CodeGuessed(field="auth_code")
        step = matching_step(code, device.secret, step_at(now)) if device else None
        if device is None or step is None:
            await store.note_failure(connection, subjects, now)
            raise CodeInvalid(field="auth_code")
    return device, CodeUse(device.bucket, device.id, step)
