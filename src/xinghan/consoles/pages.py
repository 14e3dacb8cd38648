"""All pages as one application: routes, limits, headers, and what is shown when one fails."""

from __future__ import annotations

import logging
from http import HTTPStatus
from os import PathLike, stat_result
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from xinghan.consoles import operator, operator_ledger, operator_payments, order
from xinghan.consoles.view import STATIC, render
from xinghan.kit.db import ConnectionLost, DatabaseError
from xinghan.kit.errors import MoneyOutcome, NotFound, XinghanError
from xinghan.kit.http import AddressPace, BodyLimit, DatabaseAway, SecurityHeaders
from xinghan.kit.limits import Buckets

FORM_BYTES_MAX: Final = 16 << 10
# A page asks for six files and then every two seconds; a shop's guests share one address.
REQUESTS_PER_SECOND: Final = 50
REQUESTS_BURST: Final = 300
STATIC_FRESH: Final = "public, max-age=31536000, immutable"

log = logging.getLogger("xinghan.pages")


class VersionedFiles(StaticFiles):
    """Static files, which a page names together with a hash of their content: they never change."""

    def file_response(
        self,
        full_path: PathLike[str] | str,
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Let browsers keep the file."""
        answer = super().file_response(full_path, stat_result, scope, status_code)
        answer.headers["cache-control"] = STATIC_FRESH
        return answer


def console_app(*, https: bool) -> Starlette:
    """Make the pages' application; `https` says whether people reach it by https."""
    return Starlette(
        routes=[
            Route("/", _home),
            *order.ROUTES,
            *operator.ROUTES,
            *operator_ledger.ROUTES,
            *operator_payments.ROUTES,
            Mount("/static", VersionedFiles(directory=STATIC)),
        ],
        middleware=[
            Middleware(SecurityHeaders, https=https),
            Middleware(
                AddressPace,
                buckets=Buckets(per_second=REQUESTS_PER_SECOND, burst=REQUESTS_BURST),
            ),
            Middleware(BodyLimit, bytes_max=FORM_BYTES_MAX),
        ],
        exception_handlers={
            HTTPException: _tell_http,
            XinghanError: _tell,
            ConnectionLost: _tell_database,
            DatabaseError: _tell_database,
            Exception: _tell_failure,
        },
    )


async def _home(_request: Request) -> Response:
    return RedirectResponse("/operator", HTTPStatus.SEE_OTHER)


async def _tell(request: Request, error: Exception) -> Response:
    """Show an error as a page: what is wrong, and what happened to the money."""
    told = error if isinstance(error, XinghanError) else XinghanError()
    return render(request, "error.html", {"error": told}, status=told.http_status)


async def _tell_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.NOT_FOUND
    answer = await _tell(request, NotFound())
    answer.status_code = status
    return answer


async def _tell_database(request: Request, error: Exception) -> Response:
    log.warning("%s: %s", request.url.path, error)
    return await _tell(request, DatabaseAway(money=MoneyOutcome.UNMOVED))


async def _tell_failure(request: Request, _error: Exception) -> Response:
    answer = await _tell(request, XinghanError(money=MoneyOutcome.UNMOVED))
    answer.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
    return answer
