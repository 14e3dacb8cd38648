"""The settings of a platform: read once in a composition root, then passed down."""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, PositiveInt, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from xinghan.kit.startup import SettingsInvalid

LOOPBACK = ("127.0.0.0/8", "::1/128")
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 (names an address, binds nothing)
WORKERS_MAX_BY_DEFAULT = 2
NOTIFY_SCHEDULE_SECONDS = (240, 600, 600, 3_600, 7_200, 21_600, 54_000)

LogLevel = Literal["debug", "info", "warning", "error", "critical"]


def _local_url(known: dict[str, Any]) -> str:
    host = known.get("host", "127.0.0.1")
    host = WILDCARDS.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{known.get('port', 8000)}"


def _notify_allow_by_default(known: dict[str, Any]) -> tuple[str, ...]:
    return LOOPBACK if known.get("sandbox") and known.get("database_url") is None else ()


class Settings(BaseSettings):
    """What an operator decides. Each field is the environment variable `XINGHAN_<FIELD>`."""

    model_config = SettingsConfigDict(
        env_prefix="XINGHAN_", frozen=True, extra="ignore", hide_input_in_errors=True
    )

    data: Path = Field(
        default=Path(".xinghan"),
        validate_default=True,
        description="Directory of everything the platform keeps on disk: the embedded database,"
        " its keys and its log. Relative to the working directory.",
    )
    database_url: str | None = Field(
        default=None,
        repr=False,
        description="`postgresql://user:password@host:port/database` of a PostgreSQL server"
        " (15 or newer) to use instead of the embedded one.",
    )
    migration_database_url: str | None = Field(
        default=None,
        repr=False,
        description="The same database as a role that may change the schema, when the role in"
        " `XINGHAN_DATABASE_URL` may not.",
    )
    master_keys: str | None = Field(
        default=None,
        repr=False,
        description="Master keys that seal secrets, `1:<base64 of 32 bytes>,2:<...>`, where they"
        " are not to lie in the data directory. Keep every key for ever.",
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="TCP port to listen on.")
    public_url: str = Field(
        default_factory=_local_url,
        description="Where people and shops reach this platform; codes and links are made of it."
        " By default `http://HOST:PORT`.",
    )
    workers: int = Field(
        default_factory=lambda: min(os.cpu_count() or 1, WORKERS_MAX_BY_DEFAULT),
        ge=1,
        le=64,
        description="Number of serving processes. By default one per core, at most 2.",
    )
    log_level: LogLevel = Field(
        default="info",
        description="Least severe message that is logged: `debug`, `info`, `warning`, `error`"
        " or `critical`.",
    )
    sandbox: bool = Field(
        default_factory=lambda known: known.get("database_url") is None,
        description="Whether play money and a cast of test people may be made here. By default"
        " true with the embedded database, false with `XINGHAN_DATABASE_URL`.",
    )
    app_requests_per_second: int = Field(
        default=2000,
        ge=1,
        description="How often one app may call the gateway, counted by each serving process; what"
        " is beyond gets code 40005.",
    )
    notify_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        default_factory=_notify_allow_by_default,
        description="Internal hosts and networks that notifications may reach although they are"
        " internal, separated by commas: `10.1.0.0/16,shop.internal`. By default nothing, except"
        " this machine itself in a sandbox with the embedded database.",
    )

    notify_schedule_seconds: Annotated[tuple[PositiveInt, ...], NoDecode] = Field(
        default=NOTIFY_SCHEDULE_SECONDS,
        description="After how many seconds each a notification that was not accepted is sent"
        " again, separated by commas. By default after 4 and twice 10 minutes, then after 1, 2, 6"
        " and 15 hours. Short ones help in a sandbox.",
    )

    @field_validator("data")
    @classmethod
    def _make_absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database_url", "migration_database_url", "master_keys", mode="before")
    @classmethod
    def _empty_means_none(cls, value: str | None) -> str | None:
        return value or None

    @field_validator("database_url", "migration_database_url")
    @classmethod
    def _check_url(cls, value: str | None) -> str | None:
        if value and urlsplit(value).scheme not in {"postgresql", "postgres"}:
            raise ValueError("must begin with postgresql://")
        return value

    @field_validator("public_url")
    @classmethod
    def _check_public_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise ValueError("must be an http:// or https:// address")
        return value.rstrip("/")

    @field_validator("notify_allow", "notify_schedule_seconds", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("notify_allow")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            if "/" in entry:
                ip_network(entry)
        return value

    @classmethod
    def read(cls, **given: Any) -> Self:  # noqa: ANN401 (any field, as typed on a command line)
        """Read the environment, over which a `given` value that is not None takes precedence.

        Raises SettingsInvalid with one line per wrong setting.
        """
        try:
            return cls(**{name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise _as_settings_invalid(error) from None

    def environment(self) -> dict[str, str]:
        """Give the variables from which another process reads exactly these settings."""
        values = {
            name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
            for name, value in self
        }
        values |= {name: "" for name, value in self if value is None}
        return {f"XINGHAN_{name.upper()}": value for name, value in values.items()}


def _as_settings_invalid(error: ValidationError) -> SettingsInvalid:
    lines = [f"XINGHAN_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors()]
    return SettingsInvalid("\n".join(lines), "设置有误：\n" + "\n".join(lines))
