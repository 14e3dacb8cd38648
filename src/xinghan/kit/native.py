"""The native JSON API: one FastAPI application of the rooms' routers, with one shape of error."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any, Final, Literal, cast

from fastapi import APIRouter, Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.params import Depends as Dependency
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from xinghan.kit.db import ConnectionLost, Database, DatabaseError
from xinghan.kit.errors import (
    Invalid,
    MoneyOutcome,
    NotFound,
    TooMany,
    Unauthorised,
    XinghanError,
)
from xinghan.kit.http import BodyLimit, BodyTooLarge, DatabaseAway, error_response, language_of
from xinghan.kit.i18n import Language

BODY_BYTES_MAX: Final = 1 << 20
PREFIX: Final = "/api/v1"

DESCRIPTION: Final = """
The platform's own JSON API. Shops that use an Alipay SDK need the gateway instead.

**Who may ask.** Everything but an order's public summary needs the operator's token:
`Authorization: Bearer …` (`xinghan operator token` prints it). Wrong tokens are counted by address.

**Amounts** are integers of the currency's minor units (`1000` is 10.00 CNY, and 1000 JPY), always
beside their ISO 4217 currency. Answers repeat them as decimal strings for reading. Totals may pass
2^53: read JSON numbers as 64-bit integers.

**Asking twice.** There is no Idempotency-Key, because the caller chooses the id of whatever moves
money: the same posting sent again is answered `exists` with what it did the first time, and never
done twice; other content under the same id is answered `exists_with_other_content`. After a lost
answer, send the same request again. An account opened twice is one empty account too many, no more.

**Lists** are read page by page: pass the answer's `next_cursor` as `cursor` until it is null;
nothing is skipped or repeated, whatever is written meanwhile. `format=csv` gives the whole list as
a file.

**Errors** have one shape: what is wrong, in which field, and what happened to the money, in the
language of `Accept-Language` (Chinese or English). 400 is a request that cannot be read, 422 one
that a rule refuses, 503 a database that does not answer (send the same request again).

**Times** are ISO 8601 with a time zone, in UTC.
"""

log = logging.getLogger("xinghan.native")


class Answer(BaseModel):
    """What all answers of the native API have in common: they are never changed."""

    model_config = ConfigDict(frozen=True)


class Body(BaseModel):
    """What all bodies have in common: an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ErrorDetail(Answer):
    """What is wrong, in which field, and what happened to the money."""

    code: str = Field(description="Name of the error for programs.", examples=["account_not_found"])
    message: str = Field(
        description="What is wrong, for people.",
        examples=["There is no account acc_0000000000001."],
    )
    field: str | None = Field(
        description="The field that is wrong, if it is one; dots lead into the body.",
        examples=["requests.0.legs"],
    )
    money: str = Field(description="What happened to the money.", examples=["no money has moved"])
    language: Language = Field(description="The language of `message` and `money`.")


class ErrorAnswer(Answer):
    """The one shape of every error."""

    error: ErrorDetail


class MethodNotAllowed(Invalid):
    """The path exists, but not for this method."""

    code = "method_not_allowed"
    http_status = 405


class FieldInvalid(Invalid):
    """A field of the request cannot be read; the code says in which way."""

    def __init__(self, code: str, field: str | None, facts: Mapping[str, str | int]) -> None:
        super().__init__(field=field)
        self.facts.update(facts)
        self.code = code  # type: ignore[misc]


_TOLD: Final[Mapping[int, str]] = {
    400: "The request cannot be read: a field is missing or malformed.",
    401: "The operator's token is missing or wrong.",
    404: "There is nothing of this id.",
    409: "The state or earlier content does not allow this.",
    413: f"The body is longer than {BODY_BYTES_MAX} bytes.",
    422: "A rule refuses this.",
    429: "Too many requests from this address.",
    503: "The database does not answer; ask again.",
}
REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in _TOLD.items()
}

# pydantic's names of what is wrong with a value, and the key of our sentence for it.
_SENTENCES: Final[Mapping[str, str]] = {
    "missing": "value_missing",
    "extra_forbidden": "value_unknown",
    "json_invalid": "body_not_json",
    "int_type": "value_not_integer",
    "int_parsing": "value_not_integer",
    "int_parsing_size": "value_not_integer",
    "int_from_float": "value_not_integer",
    "string_type": "value_not_text",
    "string_too_short": "value_too_short",
    "string_too_long": "value_too_long",
    "too_long": "value_too_many",
    "too_short": "value_too_few",
    "greater_than_equal": "value_too_small",
    "less_than_equal": "value_too_large",
    "literal_error": "value_not_offered",
    "enum": "value_not_offered",
    "union_tag_invalid": "value_not_offered",
    "union_tag_not_found": "value_missing",
    "id_malformed": "id_malformed",
    "value_without_zone": "value_without_zone",
    "value_not_instant": "value_not_instant",
}


def native_api(
    public: Sequence[APIRouter], guarded: Sequence[APIRouter], guard: Dependency
) -> FastAPI:
    """Make the API of routers that anybody may ask, and of those behind `guard`."""
    api = FastAPI(
        title="Xinghan native API",
        version=version("xinghan"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json",
        servers=[{"url": PREFIX}],
        root_path_in_servers=False,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        responses={
            **refusals(400, 429, 503),
            "default": REFUSALS[400] | {"description": "Any other error."},
        },
    )
    for router in public:
        api.include_router(router)
    for router in guarded:
        api.include_router(router, dependencies=[guard], responses=refusals(401))
    for kind, handler in (
        (XinghanError, _tell),
        (RequestValidationError, _tell_invalid),
        (HTTPException, tell_http),
        (ConnectionLost, _tell_database),
        (DatabaseError, _tell_database),
        (Exception, _tell_failure),
    ):
        api.add_exception_handler(kind, handler)
    api.add_middleware(BodyLimit, bytes_max=BODY_BYTES_MAX)
    return api


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Give what an operation's documentation says of its refusals."""
    return {status: REFUSALS[status] for status in statuses}


def database_of(request: Request) -> Database:
    """Give the platform's database."""
    return cast("Database", request.app.state.platform.database)


def language_of_request(request: Request) -> Language:
    """Give the language that the reader prefers."""
    return language_of(request.scope)


def actor_of(request: Request) -> str:
    """Name who asks, as the guard found out."""
    return cast("str", request.state.actor)


Store = Annotated[Database, Depends(database_of)]
Reader = Annotated[Language, Depends(language_of_request)]
Actor = Annotated[str, Depends(actor_of)]
Cursor = Annotated[
    str | None,
    Query(max_length=1000, description="`next_cursor` of the page before; none for the first."),
]
Format = Annotated[
    Literal["json", "csv"], Query(description="`csv` gives the whole list as a file.")
]
Limit = Annotated[int, Query(ge=1, le=500, description="Items on a page.")]


async def _tell(request: Request, error: Exception) -> Response:
    assert isinstance(error, XinghanError)  # noqa: S101 (registered for this class only)
    return error_response(error, language_of(request.scope))


async def _tell_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 (registered for this class only)
    return error_response(field_error(error.errors()[0], error.body), language_of(request.scope))


async def tell_http(request: Request, error: Exception) -> Response:
    """Tell what the router or the body's reader found."""
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for this class only)
    known: dict[int, XinghanError] = {
        HTTPStatus.UNAUTHORIZED: Unauthorised(),
        HTTPStatus.NOT_FOUND: NotFound(),
        HTTPStatus.METHOD_NOT_ALLOWED: MethodNotAllowed(),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE: BodyTooLarge(bytes=BODY_BYTES_MAX),
        HTTPStatus.TOO_MANY_REQUESTS: TooMany(),
    }
    answer = known.get(error.status_code, FieldInvalid("body_not_json", "body", {}))
    response = error_response(answer, language_of(request.scope))
    response.headers.update(error.headers or {})
    return response


async def _tell_database(request: Request, error: Exception) -> Response:
    """Tell that the database is away or gave up; what it refuses by a rule never comes here."""
    log.warning("%s %s: %s", request.method, request.url.path, error)
    return error_response(DatabaseAway(money=MoneyOutcome.UNKNOWN), language_of(request.scope))


async def _tell_failure(request: Request, _error: Exception) -> Response:
    """Tell of a mistake of ours without its details, which the server logs."""
    answer = error_response(XinghanError(money=MoneyOutcome.UNKNOWN), language_of(request.scope))
    answer.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
    return answer


def field_error(found: Mapping[str, Any], body: object) -> FieldInvalid:
    """Translate what pydantic found wrong with a field of `body` or of the address."""
    key = _SENTENCES.get(str(found["type"]), "invalid")
    facts = {
        name: value if isinstance(value, int) else str(value)
        for name, value in found.get("ctx", {}).items()
        if isinstance(value, int | str)
    }
    source, *place = found["loc"]
    parts = _place_in(body, place) if source == "body" else [str(part) for part in place]
    return FieldInvalid(key, ".".join(parts) or None, facts)


def _place_in(body: object, place: Sequence[object]) -> list[str]:
    """Follow a place into the body, without pydantic's own step: which shape it tried."""
    parts: list[str] = []
    for number, part in enumerate(place):
        if isinstance(body, list) and isinstance(part, int):
            inside: object = body[part]
        elif isinstance(body, dict) and part in body:
            inside = body[part]
        elif number == len(place) - 1:
            inside = None
        else:
            continue
        body = inside
        parts.append(str(part))
    return parts
