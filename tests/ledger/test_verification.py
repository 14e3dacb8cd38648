"""Whoever owns the database changes something, and the verification says what."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from bookkeeping import Bookkeeper, new_id, wait_for_others
from xinghan.kit.db import Connection, Database
from xinghan.kit.i18n import LANGUAGES, catalogue
from xinghan.kit.ids import ACCOUNT, POSTING, AccountId, PostingId
from xinghan.ledger import (
    Capture,
    HeadKey,
    HeadsFile,
    Leg,
    Post,
    Release,
    Report,
    Reverse,
    home_bucket,
    seal_tail,
    verify,
)

KEY = HeadKey(bytes(range(32)))
NO_PAUSE = timedelta(0)


@dataclass(frozen=True, slots=True)
class Story:
    """A ledger with some of everything in it, sealed, and what a forger works with."""

    database: Database
    owner: Connection
    heads: HeadsFile
    books: Bookkeeper
    payer: AccountId
    payee: AccountId
    paid: PostingId
    held: PostingId
    reversal: PostingId
    latest: PostingId

    async def forge(self, statement: str) -> None:
        """Run a statement as the owner, past the triggers, with $names of this story."""
        for name in ("payer", "payee"):
            statement = statement.replace(f"${name}", str(getattr(self, name)))
        for name in ("paid", "held", "reversal", "latest"):
            statement = statement.replace(f"${name}", f"'{getattr(self, name)}'")
        await self.owner.execute("SET session_replication_role = replica")
        await self.owner.execute(statement)
        await self.owner.execute("SET session_replication_role = origin")

    async def seal(self, postings_max: int = 4) -> int:
        await wait_for_others(self.database)
        return await seal_tail(
            self.database, KEY, self.heads, pause=NO_PAUSE, postings_max=postings_max
        )

    async def verify(self, *, with_heads: bool = True) -> Report:
        heads = [self.heads.path] if with_heads else []
        return await verify(self.database, public_keys=[KEY.public_key], heads=heads)


@pytest.fixture
async def story(database: Database, owner: Connection, tmp_path: Path) -> Story:
    books = Bookkeeper(database)
    payer, payee = await books.funded(100_000, bucket=3), await books.open(bucket=5)
    shop = await books.open(striped=True, ceiling_minor=10_000_000)
    paid = Post(new_id(), (Leg(payer, payee, 500), Leg(payer, payee, 7)), metadata={"order": 1})
    await books.accept(paid)
    hold = await books.hold(Leg(payer, payee, 900), Leg(payer, shop, 80))
    bucket = home_bucket(hold)
    await books.accept(Capture(new_id(), hold.id, bucket, 300))
    await books.accept(Release(new_id(), hold.id, bucket, 100))
    await books.accept(Release(new_id(), hold.id, bucket, leg=1))
    undone = Post(new_id(), (Leg(payer, shop, 40), Leg(payer, payee, 2)))
    await books.accept(undone)
    reversal = Reverse(new_id(), undone.id, home_bucket(undone))
    await books.accept(reversal)
    heads = HeadsFile(tmp_path / "heads.jsonl")
    await wait_for_others(database)
    assert await seal_tail(database, KEY, heads, pause=NO_PAUSE, postings_max=4) == 12
    last = PostingId((await books.post(Leg(payer, payee, 1))).id)
    await wait_for_others(database)
    assert await seal_tail(database, KEY, heads, pause=NO_PAUSE) == 1
    people = (payer, payee)
    return Story(database, owner, heads, books, *people, paid.id, hold.id, reversal.id, last)


def wrong(report: Report) -> dict[str, set[str]]:
    """Name the checks that do not hold, and what they found."""
    return {
        check.name: {finding.what for finding in check.findings}
        for check in report.checks
        if not check.ok
    }


async def test_an_honest_ledger_holds(story: Story) -> None:
    await story.books.post(Leg(story.payer, story.payee, 1))
    report = await story.verify()
    assert wrong(report) == {}
    assert (report.ok, report.postings, report.blocks, report.unsealed) == (True, 14, 4, 1)
    assert report.head is not None
    assert report.head["number"] == 4


async def test_an_empty_ledger_holds(database: Database) -> None:
    report = await verify(database, public_keys=[])
    assert (report.ok, report.postings, report.head) == (True, 0, None)


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        pytest.param(
            "UPDATE ledger.posting SET amount = amount + 1 WHERE id = $paid AND leg = 0",
            {
                "balances": {"counter_differs"},
                "entries": {"entry_differs"},
                "blocks": {"block_differs", "posting_not_as_sealed", "postings_gone"},
            },
            id="changed amount",
        ),
        pytest.param(
            "UPDATE ledger.posting SET metadata = '{\"order\": 2}' WHERE id = $paid AND leg = 0",
            {"blocks": {"block_differs", "posting_not_as_sealed", "postings_gone"}},
            id="swapped metadata",
        ),
        pytest.param(
            "UPDATE ledger.account SET credits_posted = credits_posted + 1 WHERE id = $payee",
            {"balances": {"counter_differs"}, "trial_balance": {"posted_totals_differ"}},
            id="changed balance",
        ),
        pytest.param(
            "DELETE FROM ledger.posting WHERE id = $paid AND leg = 1",
            {
                "balances": {"counter_differs"},
                "entries": {"entry_extra"},
                "blocks": {"block_differs", "postings_gone"},
            },
            id="removed posting",
        ),
        pytest.param(
            "DELETE FROM ledger.account WHERE id = $payee",
            {
                "balances": {"account_missing"},
                "trial_balance": {"posted_totals_differ", "pending_totals_differ"},
                "holds": {"pending_differs"},
            },
            id="removed account",
        ),
        pytest.param(
            "UPDATE ledger.entry SET balance_after = balance_after + 1"
            " WHERE posting = $paid AND leg = 0 AND account = $payee",
            {"entries": {"entry_differs"}},
            id="edited balance of an entry",
        ),
        pytest.param(
            "UPDATE ledger.entry SET held_after = 0 WHERE posting = $held AND account = $payer",
            {"entries": {"entry_differs"}},
            id="edited hold of an entry",
        ),
        pytest.param(
            "DELETE FROM ledger.entry WHERE posting = $paid AND leg = 0 AND account = $payee",
            {"entries": {"entry_missing", "version_gap", "entry_differs"}},
            id="removed entry",
        ),
        pytest.param(
            "UPDATE ledger.entry SET created_at = created_at - interval '1 day'"
            " WHERE posting = $latest",
            {"entries": {"entry_differs", "time_runs_back"}},
            id="earlier entry",
        ),
        pytest.param(
            "UPDATE ledger.hold SET captured = 0 WHERE id = $held AND leg = 0",
            {"holds": {"hold_differs", "pending_differs"}},
            id="uncaptured hold",
        ),
        pytest.param(
            "DELETE FROM ledger.hold WHERE id = $held AND leg = 0",
            {"holds": {"hold_missing", "pending_differs"}},
            id="removed hold",
        ),
        pytest.param(
            "ALTER TABLE ledger.account DROP CONSTRAINT account_available_above_floor,"
            " DROP CONSTRAINT account_below_ceiling;"
            "UPDATE ledger.account SET floor_minor = 99999999 WHERE id = $payer;"
            "UPDATE ledger.account SET ceiling_minor = 1 WHERE id = $payee",
            {"limits": {"below_floor", "above_ceiling"}},
            id="broken limits",
        ),
        pytest.param(
            "UPDATE ledger.posting SET refers_to = $paid WHERE id = $reversal AND leg = 0",
            {
                "references": {"reversal_wrong", "reversed_in_part"},
                "blocks": {"block_differs", "posting_not_as_sealed", "postings_gone"},
            },
            id="reversal of something else",
        ),
        pytest.param(
            "ALTER TABLE ledger.posting DROP CONSTRAINT posting_one_currency;"
            "UPDATE ledger.posting SET debit_account = debit_account # 256 WHERE id = $latest",
            {
                "postings": {"posting_invalid"},
                "balances": {"account_missing", "counter_differs"},
                "entries": {"entry_missing", "entry_extra"},
                "blocks": {"block_differs", "posting_not_as_sealed", "postings_gone"},
            },
            id="two currencies",
        ),
        pytest.param(
            "UPDATE ledger.block SET root = sha256(root) WHERE number = 2",
            {
                "blocks": {"block_differs"},
                "chain": {"head_differs"},
            },
            id="changed block",
        ),
        pytest.param(
            "UPDATE ledger.block SET signature = sha256(head) || sha256(root) WHERE number = 2",
            {"signatures": {"signature_wrong"}},
            id="forged signature",
        ),
        pytest.param(
            "UPDATE ledger.block SET public_key = root WHERE number = 2",
            {"signatures": {"key_unknown"}},
            id="another key",
        ),
        pytest.param(
            "DELETE FROM ledger.block WHERE number = 2",
            {
                "blocks": {"posting_slipped_in"},
                "chain": {"block_missing"},
                "kept_heads": {"kept_head_missing"},
            },
            id="removed block",
        ),
        pytest.param(
            "ALTER TABLE ledger.posting DISABLE TRIGGER posting_append_only",
            {"guards": {"not_append_only"}},
            id="disabled trigger",
        ),
        pytest.param(
            "ALTER TABLE ledger.account_change RENAME TO hidden;"
            "CREATE VIEW ledger.account_change AS SELECT * FROM ledger.hidden",
            {"guards": {"no_table"}},
            id="view instead of a table",
        ),
    ],
)
async def test_a_forgery_is_found(story: Story, statement: str, found: dict[str, set[str]]) -> None:
    await story.forge(statement)
    report = await story.verify()
    assert not report.ok
    assert wrong(report) == found


async def test_a_finding_says_exactly_what_is_wrong(story: Story) -> None:
    await story.forge("UPDATE ledger.account SET version = version + 1 WHERE id = $payee")
    report = await story.verify()
    version = (await story.books.balance(story.payee)).version
    [finding] = report["balances"].findings
    assert finding.facts == {
        "part": "version",
        "account": ACCOUNT.show(story.payee),
        "bucket": 5,
        "expected": version - 1,
        "found": version,
    }
    shown = ACCOUNT.show(story.payee)
    assert finding.message("en") == (
        f"Account {shown} in bucket 5: version is {version}, the journal says {version - 1}."
    )


async def test_a_changed_posting_is_named_by_its_block(story: Story) -> None:
    await story.forge("UPDATE ledger.posting SET event_at = now() WHERE id = $latest")
    findings = {
        finding.what: finding.facts for finding in (await story.verify())["blocks"].findings
    }
    assert findings["posting_not_as_sealed"] == {
        "block": 4,
        "posting": POSTING.show(story.latest),
        "bucket": 3,
        "leg": 0,
    }


INSERT_IN_THE_PAST = """
    INSERT INTO ledger.posting
    SELECT bucket, gen_random_uuid(), leg, kind, debit_bucket, debit_account, debit_version + 100,
        credit_bucket, credit_account, credit_version + 100, amount, refers_to, linked_to, event_at,
        created_at {moved}, metadata, transaction
    FROM ledger.posting WHERE id = $paid AND leg = 0
"""


async def test_a_posting_put_into_a_sealed_block_is_named(story: Story) -> None:
    await story.forge(INSERT_IN_THE_PAST.format(moved=""))
    found = wrong(await story.verify())
    assert found["blocks"] == {"block_differs", "posting_not_as_sealed"}
    assert found["entries"] == {"entry_missing"}
    assert found["balances"] == {"counter_differs"}


async def test_a_posting_put_between_blocks_is_named(story: Story) -> None:
    await story.forge(INSERT_IN_THE_PAST.format(moved="+ interval '1 day'"))
    assert wrong(await story.verify())["blocks"] == {"posting_slipped_in"}


CUT_THE_TAIL = """
    DELETE FROM ledger.entry WHERE posting = $latest;
    DELETE FROM ledger.posting WHERE id = $latest;
    UPDATE ledger.account SET debits_posted = debits_posted - 1, version = version - 1
    WHERE id = $payer;
    UPDATE ledger.account SET credits_posted = credits_posted - 1, version = version - 1
    WHERE id = $payee;
    DELETE FROM ledger.block WHERE number = 4
"""


async def test_a_cut_tail_is_found_by_the_head_that_was_kept_elsewhere(story: Story) -> None:
    await story.forge(CUT_THE_TAIL)
    assert wrong(await story.verify(with_heads=False)) == {}
    report = await story.verify()
    assert wrong(report) == {"kept_heads": {"kept_head_cut_off"}}
    [finding] = report["kept_heads"].findings
    assert finding.facts["block"] == 4
    assert finding.facts["last"] == 3


async def test_a_rewritten_tail_is_found_by_the_head_that_was_kept_elsewhere(
    story: Story, tmp_path: Path
) -> None:
    kept = tmp_path / "kept.jsonl"
    kept.write_bytes(story.heads.path.read_bytes())
    await story.forge(CUT_THE_TAIL)
    story.heads.path.unlink()
    await story.books.post(Leg(story.payer, story.payee, 1))
    assert await story.seal() == 1
    report = await verify(story.database, public_keys=[KEY.public_key], heads=[kept])
    assert wrong(report) == {"kept_heads": {"kept_head_differs"}}


async def test_a_line_that_is_no_head_is_named(story: Story) -> None:
    with story.heads.path.open("a") as file:
        file.write('{"number": 1}\n{"number": 4, "head": "')
    report = await story.verify()
    [finding] = report["kept_heads"].findings
    assert (finding.what, finding.facts["line"]) == ("kept_head_unreadable", 5)


async def test_names_and_rows_are_not_taken_from_the_forger(story: Story) -> None:
    name = story.database.url.split("?")[0].rsplit("/", 1)[1]
    await story.forge(
        "CREATE SCHEMA evil;"
        "CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS"
        " $f$ SELECT pg_catalog.sha256('') $f$;"
        "GRANT USAGE ON SCHEMA evil TO xinghan_app;"
        f"ALTER DATABASE {name} SET search_path = evil, pg_catalog"
    )
    other = await Database.open(story.database.url)
    report = await verify(other, public_keys=[KEY.public_key], heads=[story.heads.path])
    await other.close()
    assert wrong(report) == {}


async def test_at_most_a_hundred_findings_are_listed(story: Story) -> None:
    payer = await story.books.funded(1000)
    await story.books.ledger.post_batch(
        Post(new_id(), (Leg(payer, story.payee, 1),)) for _ in range(150)
    )
    await story.seal(postings_max=1000)
    await story.forge("UPDATE ledger.posting SET event_at = now() WHERE amount = 1 AND leg = 0")
    report = await story.verify()
    assert report["entries"].count > len(report["entries"].findings) == 100
    assert report["blocks"].count > len(report["blocks"].findings) == 100


async def test_progress_is_told(story: Story) -> None:
    told: list[tuple[str, int, int]] = []
    await verify(
        story.database,
        public_keys=[KEY.public_key],
        progress=lambda check, done, total: told.append((check, done, total)),
    )
    assert [step for step in told if step[0] == "entries"] == [("entries", 1, 2)] * 2
    blocks = [step for step in told if step[0] == "blocks"]
    assert sum(done for _, done, _ in blocks) == blocks[0][2] == 13


def test_every_finding_has_its_sentence_in_each_language() -> None:
    sentences = [
        {key for key in catalogue(language) if key.startswith("finding_")} for language in LANGUAGES
    ]
    assert sentences[0] == sentences[1]
    assert len(sentences[0]) > 30
