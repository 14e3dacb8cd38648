"""Group commit: who waits together is served together, at once, and faults stay alone."""

import asyncio
from collections.abc import Callable, Sequence

import pytest

from xinghan.kit.group import Group


class PoisonedError(Exception):
    """One item of a batch cannot be run."""


class Counter:
    """Runs batches by doubling numbers, when told to; remembers each batch."""

    def __init__(self, refuse: Callable[[int], bool] = lambda _: False) -> None:
        self.batches: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.at_once = 0
        self.at_once_most = 0
        self.refuse = refuse

    async def run(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.at_once += 1
        self.at_once_most = max(self.at_once, self.at_once_most)
        try:
            await self.open.wait()
            for item in items:
                if self.refuse(item):
                    raise PoisonedError(item)
            return [2 * item for item in items]
        finally:
            self.at_once -= 1


async def turns(number: int = 10) -> None:
    """Let everything that can run, run."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_a_lone_caller_is_served_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_timer(*_: object) -> None:
        raise AssertionError

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_later", no_timer)
    monkeypatch.setattr(loop, "call_at", no_timer)
    counter = Counter()
    assert await Group(counter.run).submit(21) == 42
    assert counter.batches == [[21]]


async def test_who_comes_meanwhile_shares_the_next_call() -> None:
    counter = Counter()
    group = Group(counter.run)
    counter.open.clear()
    callers = [asyncio.ensure_future(group.submit(0))]
    await turns()
    callers += [asyncio.ensure_future(group.submit(number)) for number in range(1, 6)]
    await turns()
    assert counter.batches == [[0]]
    counter.open.set()
    assert await asyncio.gather(*callers) == [0, 2, 4, 6, 8, 10]
    assert counter.batches == [[0], [1, 2, 3, 4, 5]]


async def test_batches_are_bounded_and_answers_find_their_callers() -> None:
    counter = Counter()
    group = Group(counter.run, batch_max=7)
    answers = await asyncio.gather(*(group.submit(number) for number in range(50)))
    assert answers == [2 * number for number in range(50)]
    assert max(map(len, counter.batches)) == 7


async def test_a_second_lane_opens_for_a_crowd_only() -> None:
    for crowd, most in ((32, 2), (31, 1)):
        counter = Counter()
        group = Group(counter.run, lanes=2, lane_min=32)
        counter.open.clear()
        callers = [asyncio.ensure_future(group.submit(0))]
        await turns()
        callers += [asyncio.ensure_future(group.submit(1)) for _ in range(crowd)]
        await turns()
        assert counter.at_once_most == most
        counter.open.set()
        await asyncio.gather(*callers)


@pytest.mark.parametrize("poisoned", [{0}, {6}, {3, 4}, set(range(7))])
async def test_a_fault_stays_with_the_item_at_fault(poisoned: set[int]) -> None:
    counter = Counter(refuse=poisoned.__contains__)
    group = Group(counter.run)
    counter.open.clear()
    first = asyncio.ensure_future(group.submit(100))
    await turns()
    callers = [asyncio.ensure_future(group.submit(number)) for number in range(7)]
    await turns()
    counter.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert await first == 200
    for number, answer in enumerate(answers):
        if number in poisoned:
            assert isinstance(answer, PoisonedError)
            assert answer.args == (number,)
        else:
            assert answer == 2 * number
    assert await group.submit(8) == 16


async def test_a_caller_who_goes_away_disturbs_nobody() -> None:
    counter = Counter()
    group = Group(counter.run)
    counter.open.clear()
    first = asyncio.ensure_future(group.submit(1))
    await turns()
    going, staying = (asyncio.ensure_future(group.submit(number)) for number in (2, 3))
    await turns()
    first.cancel()
    going.cancel()
    await turns()
    counter.open.set()
    assert await staying == 6
    assert first.cancelled()
    assert going.cancelled()
    assert await group.submit(4) == 8


async def test_a_caller_who_goes_away_during_a_fault_disturbs_nobody() -> None:
    counter = Counter(refuse=lambda item: item == 2)
    group = Group(counter.run)
    counter.open.clear()
    blocker = asyncio.ensure_future(group.submit(0))
    await turns()
    callers = [asyncio.ensure_future(group.submit(number)) for number in (1, 2, 3)]
    await turns()
    callers[1].cancel()
    counter.open.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert answers[::2] == [2, 6]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert await blocker == 0
