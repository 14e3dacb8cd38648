import asyncio
import socket

import pytest

from xinghan.kit import db
from xinghan.kit.startup import DatabaseUnreachable, DataUnusable


async def test_the_application_acts_as_its_role_and_not_as_the_owner(
    database: db.Database,
) -> None:
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT current_user") == "xinghan_app"
        with pytest.raises(db.InsufficientPrivilege):
            await connection.execute("CREATE TABLE public.mine (id integer)")


async def test_the_role_stays_when_a_connection_is_used_again(database_url: str) -> None:
    database = await db.Database.open(database_url, size_max=1)
    for _ in range(3):
        async with database.transaction() as connection:
            assert await connection.fetchval("SELECT current_user") == "xinghan_app"
    await database.close()


@pytest.mark.parametrize(
    "value", [{"name": "林", "cents": 2**53, "none": None}, [1, "a", True], "text", 7, None, {}]
)
@pytest.mark.parametrize("kind", ["json", "jsonb"])
async def test_json_goes_in_and_out_as_python_values(
    database: db.Database, kind: str, value: object
) -> None:
    async with database.acquire() as connection:
        assert await connection.fetchval(f"SELECT $1::{kind}", value) == value
        assert await connection.fetchval(f"SELECT $1::{kind}[]", [value]) == [value]


async def test_a_transaction_that_fails_leaves_nothing(
    database: db.Database, owner: db.Connection
) -> None:
    await owner.execute("CREATE TABLE public.note (text text)")
    await owner.execute("GRANT INSERT ON public.note TO xinghan_app")

    async def fail() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO public.note VALUES ('lost')")
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    assert await owner.fetchval("SELECT count(*) FROM public.note") == 0


async def test_a_violation_names_its_constraint(owner: db.Connection) -> None:
    await owner.execute("CREATE TABLE public.note (id int CONSTRAINT note_once PRIMARY KEY)")
    await owner.execute("INSERT INTO public.note VALUES (1)")
    with pytest.raises(db.UniqueViolation) as caught:
        await owner.execute("INSERT INTO public.note VALUES (1)")
    assert db.constraint_of(caught.value) == "note_once"
    assert db.constraint_of(KeyError()) is None


async def test_a_refused_connection_names_the_place_but_not_the_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(db, "CONNECT_SECONDS_MAX", 0.2)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(DatabaseUnreachable) as caught:
            await db.Database.open(f"postgresql://lin:pass%40word@127.0.0.1:{port}/xinghan")
    for text in (caught.value.english, caught.value.chinese):
        assert f"127.0.0.1:{port}/xinghan" in text
        assert "pass" not in text


async def test_a_wrong_password_is_told_at_once(cluster_tcp_url: str) -> None:
    wrong = cluster_tcp_url.replace("xinghan:", "xinghan:wrong-", 1)
    with pytest.raises(DatabaseUnreachable, match="authentication failed") as caught:
        await db.connect(wrong)
    assert "wrong-" not in str(caught.value)


async def test_a_server_that_comes_late_is_waited_for(database_url: str) -> None:
    target = db.place_of(database_url).split(":")
    path = f"{target[0]}/.s.PGSQL.{target[1].split('/')[0]}"
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    name = database_url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
    opening = asyncio.create_task(
        db.connect(f"postgresql://xinghan:x@127.0.0.1:{port}/{name}?sslmode=disable")
    )
    await asyncio.sleep(0.05)
    assert not opening.done()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(path)
        await asyncio.gather(_copy(reader, server_writer), _copy(server_reader, writer))

    relay = await asyncio.start_server(forward, "127.0.0.1", port)
    connection = await opening
    assert await connection.fetchval("SELECT current_database()") == name
    await connection.close()
    relay.close()
    await relay.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_a_database_that_was_never_migrated_says_what_to_do(empty_database_url: str) -> None:
    with pytest.raises(DataUnusable, match="xinghan up"):
        await db.Database.open(empty_database_url, role="xinghan_nobody_made_this")


@pytest.mark.parametrize("statement", ["SELECT 1", None])
async def test_a_connection_that_dies_in_a_transaction_is_lost(
    database: db.Database, owner: db.Connection, statement: str | None
) -> None:
    async def lose() -> None:
        async with database.transaction() as connection:
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await owner.execute("SELECT pg_terminate_backend($1, 5000)", pid)
            if statement:
                await connection.execute(statement)

    with pytest.raises(db.ConnectionLost):
        await lose()
    async with database.acquire() as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_errors_of_the_caller_pass_through_a_living_connection(
    database: db.Database,
) -> None:
    async def fail(error: Exception) -> None:
        async with database.transaction():
            raise error

    for error in (KeyError(), ConnectionRefusedError(), FileNotFoundError()):
        with pytest.raises(type(error)):
            await fail(error)


@pytest.mark.parametrize(
    ("url", "user", "place"),
    [
        ("postgresql://lin:x@db.example/pay", "lin", "db.example:5432/pay"),
        ("postgresql://l%40n@db.example:5433/pay", "l@n", "db.example:5433/pay"),
        ("postgresql:///pay?host=/run/pg&port=5434&user=mei", "mei", "/run/pg:5434/pay"),
        ("postgresql://", None, "localhost:5432"),
    ],
)
def test_a_url_is_read_without_its_password(url: str, user: str | None, place: str) -> None:
    assert db.user_of(url) == user
    assert db.place_of(url) == place
