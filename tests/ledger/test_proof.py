"""Sealing every posting once, in order and never in its way; proofs that outsiders can check."""

import asyncio
import hashlib
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from bookkeeping import Bookkeeper, wait_for_others
from xinghan.kit.db import Connection, Database, InsufficientPrivilege
from xinghan.kit.ids import AccountId, PostingId, uuid7
from xinghan.ledger import (
    Block,
    HeadKey,
    HeadsDisagree,
    HeadsFile,
    Leg,
    NotSealedYet,
    Post,
    PostingNotFound,
    ProofRefused,
    prove,
    seal_tail,
    verify,
    verify_inclusion,
)
from xinghan.ledger.proof import merkle, store
from xinghan.ledger.proof.store import Position

KEY = HeadKey(bytes(range(32)))
NO_PAUSE = timedelta(0)

# The leaves and roots with which implementations of Certificate Transparency are tested.
RFC_6962_LEAVES = [
    *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
    "606162636465666768696a6b6c6d6e6f",
]
RFC_6962_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


@pytest.fixture
def heads(tmp_path: Path) -> HeadsFile:
    return HeadsFile(tmp_path / "heads.jsonl")


async def pay_some(books: Bookkeeper, payer: AccountId, payee: AccountId, count: int) -> None:
    for _ in range(count):
        await books.post(Leg(payer, payee, 1))


async def seal_all(database: Database, heads: HeadsFile, postings_max: int = 1000) -> int:
    await wait_for_others(database)
    return await seal_tail(database, KEY, heads, pause=NO_PAUSE, postings_max=postings_max)


async def fetch_chain(database: Database) -> list[Block]:
    async with database.acquire() as connection:
        return await store.fetch_blocks(connection, 0, 1000)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_certificate_transparency(size: int) -> None:
    leaves = [merkle.hash_leaf(bytes.fromhex(leaf)) for leaf in RFC_6962_LEAVES[:size]]
    assert merkle.root_of(leaves).hex() == RFC_6962_ROOTS[size]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 100])
def test_a_path_leads_to_the_root_from_its_own_leaf_alone(size: int) -> None:
    leaves = [merkle.hash_leaf(bytes([place])) for place in range(size)]
    root = merkle.root_of(leaves)
    for index, leaf in enumerate(leaves):
        path = merkle.path_of(leaves, index)
        assert merkle.root_by_path(leaf, index, size, path) == root
        assert merkle.root_by_path(leaf, (index + 1) % size, size, path) != root or size == 1
        assert merkle.root_by_path(leaf, index, size, [*path, leaf]) is None
        assert merkle.root_by_path(leaf, size, size, path) is None
        if path:
            assert merkle.root_by_path(leaf, index, size, path[:-1]) is None


async def test_a_transaction_is_never_split(books: Bookkeeper, heads: HeadsFile) -> None:
    payer, payee = await books.funded(1000), await books.open()
    await books.ledger.post_batch(
        Post(PostingId(uuid7()), (Leg(payer, payee, 1),)) for _ in range(10)
    )
    await pay_some(books, payer, payee, 5)
    assert await seal_all(books.database, heads, postings_max=3) == 16
    assert [block.postings for block in await fetch_chain(books.database)] == [11, 3, 2]
    assert await seal_all(books.database, heads) == 0


async def test_what_commits_late_is_sealed_in_its_place(
    books: Bookkeeper, owner: Connection, heads: HeadsFile
) -> None:
    payer, payee = await books.funded(1000), await books.open()
    await seal_all(books.database, heads)
    late = owner.transaction()
    await late.start()
    await owner.fetchval("SELECT pg_current_xact_id()")
    await pay_some(books, payer, payee, 3)
    assert await seal_tail(books.database, KEY, heads, pause=NO_PAUSE) == 0
    await late.commit()
    assert await seal_all(books.database, heads) == 3


async def test_blocks_are_few_because_of_the_pause(books: Bookkeeper, heads: HeadsFile) -> None:
    payer, payee = await books.funded(1000), await books.open()
    assert await seal_all(books.database, heads) == 1
    await pay_some(books, payer, payee, 3)
    await wait_for_others(books.database)
    assert await seal_tail(books.database, KEY, heads) == 0
    assert await seal_all(books.database, heads) == 3


async def test_sealing_beside_sixteen_writers_and_another_sealer(
    books: Bookkeeper, heads: HeadsFile
) -> None:
    payees = [await books.open() for _ in range(4)]
    payers = [await books.funded(1000) for _ in range(16)]
    writers = [
        asyncio.create_task(pay_some(books, payer, payees[place % 4], 20))
        for place, payer in enumerate(payers)
    ]
    sealed = 0
    while not all(writer.done() for writer in writers):
        two = (seal_all(books.database, heads, postings_max=7) for _ in range(2))
        sealed += sum(await asyncio.gather(*two))
    await asyncio.gather(*writers)
    sealed += await seal_all(books.database, heads)
    assert sealed == 16 + 16 * 20
    report = await verify(books.database, public_keys=[KEY.public_key], heads=[heads.path])
    assert report.ok, report.to_json()
    assert (report.postings, report.unsealed) == (sealed, 0)
    lines = heads.path.read_text().splitlines()
    assert [json.loads(line)["number"] for line in lines] == list(range(1, report.blocks + 1))


async def test_heads_come_again_after_a_crash(books: Bookkeeper, heads: HeadsFile) -> None:
    payer, payee = await books.funded(1000), await books.open()
    await pay_some(books, payer, payee, 3)
    await seal_all(books.database, heads, postings_max=1)
    whole = heads.path.read_bytes()
    heads.path.write_bytes(whole[: len(whole) // 2])
    await seal_all(books.database, heads)
    assert heads.path.read_bytes() == whole


async def test_nothing_is_sealed_over_a_lost_head(
    books: Bookkeeper, owner: Connection, heads: HeadsFile
) -> None:
    payer, payee = await books.funded(1000), await books.open()
    await pay_some(books, payer, payee, 3)
    await seal_all(books.database, heads, postings_max=1)
    await owner.execute("SET session_replication_role = replica")
    await owner.execute("DELETE FROM ledger.block WHERE number = 4")
    with pytest.raises(HeadsDisagree):
        await seal_all(books.database, heads)
    assert len(await fetch_chain(books.database)) == 3
    heads.path.rename(heads.path.with_name("kept.jsonl"))
    assert await seal_all(books.database, heads) == 1


async def test_blocks_are_append_only(books: Bookkeeper, heads: HeadsFile) -> None:
    await books.funded(1)
    await seal_all(books.database, heads)
    for statement in ("UPDATE ledger.block SET number = 2", "DELETE FROM ledger.block"):
        async with books.database.acquire() as connection:
            with pytest.raises(InsufficientPrivilege):
                await connection.execute(statement)
    assert [block.number for block in await fetch_chain(books.database)] == [1]


async def test_sealing_reads_by_the_index_and_keeps_it_up(books: Bookkeeper) -> None:
    await books.funded(1)
    async with books.database.transaction() as connection:
        await store.use_index(connection)
        plan = await connection.fetch(
            "EXPLAIN "
            + store.FETCH_CUT.replace("$1", "7")
            .replace("$2", "9")
            .replace("$3", "'epoch'")
            .replace("$4", "NULL")
            .replace("$5", "10")
        )
    assert any("posting_transaction" in line for (line,) in plan)
    async with books.database.acquire() as connection:
        await store.summarize_postings(connection)
        assert await store.fetch_last_block(connection) is None


async def test_a_move_to_another_server_is_noticed_and_survived(
    books: Bookkeeper, owner: Connection, heads: HeadsFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other server was a billion transactions ahead: its numbers will come again here."""
    payer, payee = await books.funded(1000), await books.open()
    ahead = 1_000_000_000
    here = store.fetch_position

    async def there(connection: Connection) -> Position:
        position = await here(connection)
        return Position(7, position.unfinished + ahead, position.next + ahead, position.now)

    await owner.execute("SET session_replication_role = replica")
    shift = (
        f"UPDATE ledger.posting SET transaction = transaction + {ahead} WHERE transaction < {ahead}"
    )
    with monkeypatch.context() as patch:
        patch.setattr(store, "fetch_position", there)
        await pay_some(books, payer, payee, 3)
        await owner.execute(shift)
        assert await seal_all(books.database, heads, postings_max=2) == 4
        await pay_some(books, payer, payee, 5)
        await owner.execute(shift)

    await pay_some(books, payer, payee, 6)
    before = await verify(books.database, public_keys=[KEY.public_key], heads=[heads.path])
    assert (before.ok, before.unsealed) == (True, 11)
    assert await seal_all(books.database, heads, postings_max=2) == 11
    await pay_some(books, payer, payee, 2)
    assert await seal_all(books.database, heads) == 2
    after = await verify(books.database, public_keys=[KEY.public_key], heads=[heads.path])
    assert (after.ok, after.unsealed, after.postings) == (True, 0, 17)
    identifiers = {block.system_identifier for block in await fetch_chain(books.database)}
    assert len(identifiers) == 2


async def test_a_ledger_that_was_never_sealed_can_be_moved_too(
    books: Bookkeeper, owner: Connection, heads: HeadsFile
) -> None:
    payer, payee = await books.funded(1000), await books.open()
    await pay_some(books, payer, payee, 3)
    await owner.execute("SET session_replication_role = replica")
    await owner.execute("UPDATE ledger.posting SET transaction = transaction + 1000000000")
    await pay_some(books, payer, payee, 2)
    assert await seal_all(books.database, heads) == 6
    report = await verify(books.database, public_keys=[KEY.public_key], heads=[heads.path])
    assert (report.ok, report.unsealed) == (True, 0)


def verify_independently(proof: dict[str, Any], public_key: bytes) -> str:
    """What an outsider writes from the description alone; gives the posting's id."""

    def sha(*parts: bytes) -> bytes:
        return hashlib.sha256(b"".join(parts)).digest()

    block, leaf = proof["block"], bytes.fromhex(proof["leaf"])
    node, index, last = sha(b"\0", leaf), proof["index"], block["postings"] - 1
    path = [bytes.fromhex(step) for step in proof["path"]]
    while last:
        if index % 2:
            node = sha(b"\1", path.pop(0), node)
        elif index < last:
            node = sha(b"\1", node, path.pop(0))
        index, last = index // 2, last // 2
    names = ("number", "system_identifier", "after_transaction", "last_transaction")
    names += ("created_after_us", "created_until_us", "postings")
    fields = b"".join(block[name].to_bytes(8, "big", signed=True) for name in names)
    previous = bytes.fromhex(block["previous"])
    head = sha(b"xinghan ledger head 1\0", previous, node, fields)
    Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(block["signature"]), head)
    return str(UUID(bytes=leaf[2:18]))


async def test_a_proof_convinces_an_outsider(books: Bookkeeper, heads: HeadsFile) -> None:
    payer, payee = await books.funded(1000), await books.open()
    await pay_some(books, payer, payee, 6)
    paid = Post(
        PostingId(uuid7()),
        (Leg(payer, payee, 30), Leg(payer, payee, 12)),
        metadata={"订单": "茶", "n": 1},
    )
    await books.accept(paid)
    async with books.database.acquire() as connection:
        with pytest.raises(NotSealedYet):
            await prove(connection, paid.id)
        await seal_all(books.database, heads)
        proofs = json.loads(json.dumps(await prove(connection, paid.id)))
        with pytest.raises(PostingNotFound):
            await prove(connection, PostingId(uuid7()))
    assert len(proofs) == 2
    for leg, (proof, amount) in enumerate(zip(proofs, (30, 12), strict=True)):
        assert verify_independently(proof, KEY.public_key) == str(paid.id)
        proved = verify_inclusion(proof, KEY.public_key)
        assert proved == proof["posting"]
        assert (proved["id"], proved["leg"], proved["amount"]) == (str(paid.id), leg, amount)
        assert json.loads(str(proved["metadata"])) == paid.metadata


async def test_a_changed_proof_is_refused(books: Bookkeeper, heads: HeadsFile) -> None:
    payer, payee = await books.funded(1000), await books.open()
    await pay_some(books, payer, payee, 5)
    paid = await books.post(Leg(payer, payee, 30))
    await seal_all(books.database, heads)
    async with books.database.acquire() as connection:
        [proof] = json.loads(json.dumps(await prove(connection, PostingId(paid.id))))

    def refusal(changed: dict[str, Any], public_key: bytes = KEY.public_key) -> object:
        with pytest.raises(ProofRefused) as refused:
            verify_inclusion(changed, public_key)
        return refused.value.facts["reason"]

    block = proof["block"]
    forger = HeadKey(bytes(32))
    forged = {
        "public_key": forger.public_key.hex(),
        "signature": forger.sign(bytes.fromhex(block["head"])).hex(),
    }
    assert refusal(proof | {"leaf": proof["leaf"][:-2] + "01"}) == "path"
    assert refusal(proof | {"index": proof["index"] - 1}) == "path"
    assert refusal(proof | {"path": proof["path"][1:]}) == "path"
    assert refusal(proof | {"path": 7}) == "form"
    assert refusal({}) == "form"
    assert refusal(proof | {"block": block | {"number": 2}}) == "head"
    assert refusal(proof | {"block": block | {"signature": "00" * 64}}) == "signature"
    assert refusal(proof | {"block": block | forged}) == "signature"
    assert refusal(proof, forger.public_key) == "signature"
