"""Buckets of tokens: a burst, a pace, and a bounded memory."""

from xinghan.kit.limits import Buckets


class Seconds:
    """A clock in seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_allows_a_burst_and_then_its_pace() -> None:
    seconds = Seconds()
    buckets = Buckets(per_second=2, burst=3, clock=seconds)
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]
    seconds.now += 0.5
    assert [buckets.take("a") for _ in range(2)] == [True, False]
    seconds.now += 1000
    assert [buckets.take("a") for _ in range(4)] == [True, True, True, False]


def test_keys_do_not_share_and_asking_takes_nothing() -> None:
    buckets = Buckets(per_second=0, burst=1)
    assert buckets.take("a")
    assert (buckets.has("a"), buckets.has("b"), buckets.has("b")) == (False, True, True)


def test_the_key_that_asked_longest_ago_is_forgotten() -> None:
    buckets = Buckets(per_second=0, burst=1, keys_max=2)
    for key in ("a", "b", "a", "c"):
        buckets.take(key)
    assert [buckets.has(key) for key in ("a", "b", "c")] == [False, True, False]
