"""How a command finds its platform: a data directory or a database URL."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from xinghan.kit.db import Database
from xinghan.kit.embedded import EmbeddedPostgres
from xinghan.kit.migrate import migrate
from xinghan.kit.settings import Settings

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Directory of the platform with its embedded database"
        " [default: XINGHAN_DATA, else .xinghan].",
        show_default=False,
    ),
]
DatabaseUrlOption = Annotated[
    str | None,
    typer.Option(
        "--database-url",
        help="PostgreSQL server to use instead of the embedded one"
        " [default: XINGHAN_DATABASE_URL].",
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, for programs.")]


@dataclass(frozen=True, slots=True)
class Platform:
    """What a command works with; `embedded` is None when a server's URL was given."""

    settings: Settings
    database: Database
    embedded: EmbeddedPostgres | None


@dataclass(frozen=True, slots=True)
class Located:
    """A database that answers. `settings.database_url` always names it."""

    settings: Settings
    embedded: EmbeddedPostgres | None

    @property
    def url(self) -> str:
        return self.settings.database_url or ""

    async def migrate(self) -> list[int]:
        """Bring the schema up to date; give the numbers of the migrations applied now."""
        return await migrate(
            self.settings.migration_database_url or self.url, application_url=self.url
        )


def read_settings(
    data: Path | None = None,
    database_url: str | None = None,
    **given: Any,  # noqa: ANN401
) -> Settings:
    """Read the settings; what was typed wins over the environment.

    A typed `--data` alone means that directory's embedded database, whatever
    XINGHAN_DATABASE_URL says. Raises SettingsInvalid.
    """
    if data is not None and database_url is None:
        database_url = ""
        given |= {"migration_database_url": ""}
    return Settings.read(data=data, database_url=database_url, **given)


@contextmanager
def locate(settings: Settings) -> Iterator[Located]:
    """Start or join the embedded database if no server's URL is set.

    The decisions that depend on the embedded database (sandbox, notifications) are made before
    its URL is filled in.
    """
    if settings.database_url is not None:
        yield Located(settings, None)
        return
    with EmbeddedPostgres(settings.data) as embedded:
        filled = settings.model_copy(update={"database_url": embedded.owner_url})
        yield Located(filled, embedded)


@asynccontextmanager
async def open_platform(
    data: Path | None = None, database_url: str | None = None
) -> AsyncIterator[Platform]:
    """Find the platform, start its embedded database if none runs, migrate, open the database.

    Raises StartupError, which `main` prints.
    """
    with locate(read_settings(data, database_url)) as located:
        await located.migrate()
        database = await Database.open(located.url, application_name="xinghan cli")
        try:
            yield Platform(located.settings, database, located.embedded)
        finally:
            await database.close()
