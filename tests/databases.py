"""Databases that tests build beside the one their fixtures give them."""

from urllib.parse import urlsplit, urlunsplit

from xinghan.kit import db, migrate


def with_database(url: str, name: str) -> str:
    """Give the URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def build_from_schema_files(administration_url: str, name: str) -> None:
    """Create a database and run the rooms' schema files in it."""
    administration = await db.connect(administration_url)
    await administration.execute(f"CREATE DATABASE {name}")
    await administration.close()
    connection = await db.connect(with_database(administration_url, name))
    await migrate.prepare_role(connection)
    for path in migrate.schema_files():
        await connection.execute(path.read_text())
    await connection.close()
