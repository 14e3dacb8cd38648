from pathlib import Path

import pytest

from databases import with_database
from xinghan.kit import db, migrate
from xinghan.kit.startup import DataFromNewerVersion, DataUnusable

FIRST = "CREATE TABLE public.first (id integer)"
SECOND = "CREATE TABLE public.second (id integer)"


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A history of two migrations in the place of the platform's own."""
    (tmp_path / "0001_first_words.sql").write_text(FIRST)
    (tmp_path / "0002_second.sql").write_text(SECOND)
    shipped = migrate.shipped
    monkeypatch.setattr(migrate, "shipped", lambda: shipped(tmp_path))
    return tmp_path


async def tables(url: str) -> set[str]:
    connection = await db.connect(url)
    rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await connection.close()
    return {row["tablename"] for row in rows} - {"xinghan_migration"}


async def test_migrations_are_applied_once_and_recorded(
    empty_database_url: str, directory: Path
) -> None:
    assert await migrate.migrate(empty_database_url) == [1, 2]
    assert await migrate.migrate(empty_database_url) == []
    assert await tables(empty_database_url) == {"first", "second"}
    connection = await db.connect(empty_database_url)
    rows = await connection.fetch("SELECT * FROM public.xinghan_migration ORDER BY number")
    await connection.close()
    assert [(row["number"], row["name"]) for row in rows] == [(1, "first_words"), (2, "second")]
    assert all(row["applied_at"].tzinfo for row in rows)


async def test_a_failing_migration_leaves_nothing_of_itself(
    empty_database_url: str, directory: Path
) -> None:
    (directory / "0002_second.sql").write_text(f"{SECOND}; SELECT 1/0")
    with pytest.raises(DataUnusable, match=r"0002_second failed.*division by zero"):
        await migrate.migrate(empty_database_url)
    assert await tables(empty_database_url) == {"first"}
    (directory / "0002_second.sql").write_text(SECOND)
    assert await migrate.migrate(empty_database_url) == [2]


async def test_a_newer_database_is_refused_and_left_alone(
    empty_database_url: str, directory: Path
) -> None:
    await migrate.migrate(empty_database_url)
    (directory / "0002_second.sql").unlink()
    with pytest.raises(DataFromNewerVersion, match="schema 2"):
        await migrate.migrate(empty_database_url)
    assert await tables(empty_database_url) == {"first", "second"}


async def test_an_applied_migration_must_not_change(
    empty_database_url: str, directory: Path
) -> None:
    await migrate.migrate(empty_database_url)
    (directory / "0001_first_words.sql").write_text(f"{FIRST} -- changed")
    with pytest.raises(DataUnusable, match="0001_first_words"):
        await migrate.migrate(empty_database_url)


@pytest.mark.parametrize("name", ["0004_gap.sql", "0001_twin.sql", "nameless.sql"])
def test_a_history_with_gaps_twins_or_strange_names_is_a_bug(directory: Path, name: str) -> None:
    (directory / name).write_text(SECOND)
    with pytest.raises(ValueError, match=r"numbered|not named"):
        migrate.shipped()


async def test_a_role_without_rights_is_told_which_it_needs(
    empty_database_url: str, cluster_tcp_url: str, directory: Path
) -> None:
    administration = await db.connect(empty_database_url)
    await migrate.prepare_role(administration)
    await administration.execute("CREATE ROLE weak LOGIN PASSWORD 'weak'")
    name = empty_database_url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
    place = with_database(cluster_tcp_url, name).split("@")[1]
    try:
        with pytest.raises(DataUnusable, match="XINGHAN_MIGRATION_DATABASE_URL"):
            await migrate.migrate(f"postgresql://weak:weak@{place}")
        assert await tables(empty_database_url) == set()
    finally:
        await administration.execute("DROP ROLE weak")
        await administration.close()


async def test_the_application_may_log_in_as_another_role_than_the_migrator(
    empty_database_url: str, cluster_tcp_url: str, directory: Path
) -> None:
    administration = await db.connect(empty_database_url)
    await administration.execute("CREATE ROLE till LOGIN PASSWORD 'till'")
    name = empty_database_url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
    application_url = f"postgresql://till:till@{with_database(cluster_tcp_url, name).split('@')[1]}"
    try:
        await migrate.migrate(empty_database_url, application_url=application_url)
        database = await db.Database.open(application_url)
        async with database.acquire() as connection:
            assert await connection.fetchval("SELECT current_user") == "xinghan_app"
            assert await connection.fetchval("SELECT session_user") == "till"
        await database.close()
    finally:
        await administration.execute("DROP ROLE till")
        await administration.close()
