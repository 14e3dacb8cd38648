"""Checks the code that a payer's phone shows, and stops whoever guesses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias
from uuid import UUID

from xinghan.kit.ids import DeviceId, MerchantId, PersonId
from xinghan.payments.codes import device_number_of, matching_step, step_at
from xinghan.payments.model import CodeGuessed, CodeUse

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


Subjects: TypeAlias = tuple[UUID, ...]
FindDevice: TypeAlias = Callable[[int], Awaitable[CodeDevice | None]]
CountFailures: TypeAlias = Callable[[Subjects], Awaitable[Mapping[UUID, int]]]


class CodeWrong(Exception):
    """A code that is wrong or old; `subjects` are the shop and, if there is one, the phone."""

    def __init__(self, subjects: Subjects) -> None:
        super().__init__(subjects)
        self.subjects = subjects


async def check_code(
    find_device: FindDevice,
    count_failures: CountFailures,
    code: str,
    merchant: MerchantId,
    now: datetime,
) -> tuple[CodeDevice, CodeUse]:
    """Tell whose phone shows `code` at this moment, and what marks the code as used.

    Raises CodeWrong, which its catcher has to count, and CodeGuessed.
    """
    number = device_number_of(code)
    device = await find_device(number) if number is not None else None
    subjects = (merchant, device.id) if device else (merchant,)
    failures = await count_failures(subjects)
    if failures.get(merchant, 0) >= FAILURES_MAX_PER_MERCHANT or (
        device is not None and failures.get(device.id, 0) >= FAILURES_MAX_PER_DEVICE
    ):
        raise CodeGuessed(field="auth_code")
    step = matching_step(code, device.secret, step_at(now)) if device else None
    if device is None or step is None:
        raise CodeWrong(subjects)
    return device, CodeUse(device.bucket, device.id, step)
