"""The rooms' schema files are the truth today; the migrations must lead to exactly that."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from databases import build_from_schema_files, with_database
from xinghan.kit import db, migrate
from xinghan.kit.embedded import EmbeddedPostgres

CATALOGUE = (Path(__file__).parent / "catalogue.sql").read_text()


@pytest.fixture
async def built_from_schema_files(cluster: EmbeddedPostgres) -> AsyncIterator[str]:
    name = f"schema_{uuid4().hex}"
    await build_from_schema_files(cluster.owner_url, name)
    yield with_database(cluster.owner_url, name)
    administration = await db.connect(cluster.owner_url)
    await administration.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await administration.close()


async def describe(url: str) -> set[tuple[str, str, str]]:
    """List everything in a database that a schema file can say: kind, name, definition."""
    connection = await db.connect(url)
    rows = await connection.fetch(CATALOGUE)
    await connection.close()
    return {(row["kind"], row["name"], row["definition"]) for row in rows}


async def test_migrations_build_what_the_schema_files_say(
    built_from_schema_files: str, empty_database_url: str
) -> None:
    await migrate.migrate(empty_database_url)
    wanted = await describe(built_from_schema_files)
    built = await describe(empty_database_url)
    assert wanted - built == set(), "in the schema files, not in the migrations"
    assert built - wanted == set(), "in the migrations, not in the schema files"


@pytest.mark.parametrize(
    "change",
    [
        "CREATE SCHEMA extra",
        "GRANT USAGE ON SCHEMA public TO xinghan_app",
        "CREATE TABLE public.extra (id int)",
        "CREATE INDEX extra ON public.known (id)",
        "ALTER TABLE public.known ALTER id SET DEFAULT 1",
        "ALTER TABLE public.known ALTER id DROP NOT NULL",
        "ALTER TABLE public.known ALTER id TYPE bigint",
        "ALTER TABLE public.known ADD CONSTRAINT positive CHECK (id > 0)",
        "ALTER TABLE public.known SET (fillfactor = 50)",
        "GRANT SELECT ON public.known TO xinghan_app",
        "GRANT UPDATE (id) ON public.known TO xinghan_app",
        "CREATE OR REPLACE FUNCTION public.one() RETURNS int LANGUAGE sql AS 'SELECT 2'",
        "ALTER FUNCTION public.one() STABLE",
        "REVOKE EXECUTE ON FUNCTION public.one() FROM PUBLIC",
        "CREATE TRIGGER extra BEFORE UPDATE ON public.known EXECUTE FUNCTION public.fire()",
        "CREATE TYPE public.extra AS ENUM ('a')",
        "ALTER TYPE public.mood ADD VALUE 'angry'",
        "CREATE DOMAIN public.extra AS int CHECK (value > 0)",
        "CREATE VIEW public.extra AS SELECT 1 AS one",
        "CREATE SEQUENCE public.extra",
        "ALTER TABLE public.known ENABLE ROW LEVEL SECURITY",
        "COMMENT ON TABLE public.known IS 'extra'",
    ],
)
async def test_no_difference_escapes_the_comparison(owner: db.Connection, change: str) -> None:
    await owner.execute("CREATE TABLE public.known (id int NOT NULL)")
    await owner.execute("CREATE FUNCTION public.one() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    await owner.execute("CREATE TYPE public.mood AS ENUM ('calm')")
    await owner.execute(
        "CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN END'"
    )
    before = {tuple(row) for row in await owner.fetch(CATALOGUE)}
    await owner.execute(change)
    assert {tuple(row) for row in await owner.fetch(CATALOGUE)} != before
