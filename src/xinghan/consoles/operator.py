"""The operator's pages: signing in and out, the overview, and finding something by its number."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import wraps
from http import HTTPStatus
from secrets import token_hex
from typing import Final, TypeAlias
from urllib.parse import quote

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from xinghan.consoles.view import platform_of, render
from xinghan.identity.api import WRONG_TOKENS
from xinghan.identity.operators import (
    SESSION_LASTS,
    OperatorUnknown,
    Session,
    SessionOver,
    end_session,
    fetch_session,
    open_session,
)
from xinghan.kit.errors import TooMany, Unauthorised, XinghanError
from xinghan.kit.http import address_of
from xinghan.kit.ids import ACCOUNT, POSTING, TRADE, IdMalformed
from xinghan.kit.numbering import trade_id_of
from xinghan.ledger.model import BUCKETS
from xinghan.ledger.proof import fetch_last_block
from xinghan.ledger.statements import fetch_trial_balance
from xinghan.ledger.store import fetch_written
from xinghan.payments.listing import count_all

SESSION_COOKIE: Final = "xinghan_operator"
FORM_COOKIE: Final = "xinghan_form"
COOKIE_PATH: Final = "/operator"
HOME: Final = "/operator"
SIGN_IN: Final = "/operator/sign-in"
NUMBER_CHARACTERS_MAX: Final = 64

Page: TypeAlias = Callable[[Request], Awaitable[Response]]


class FormTooOld(Unauthorised):
    """The form was not one that this browser had been given."""

    code = "form_too_old"
    http_status = 403


def signed_in(page: Page) -> Page:
    """Show a page to whoever is signed in, and the others the way to sign in."""

    @wraps(page)
    async def guarded(request: Request) -> Response:
        try:
            request.state.session = await _session(request)
        except SessionOver:
            wanted = quote(str(request.url.path), safe="/")
            return RedirectResponse(f"{SIGN_IN}?next={wanted}", HTTPStatus.SEE_OTHER)
        return await page(request)

    return guarded


async def show_sign_in(request: Request) -> Response:
    """Show the form that takes the operator's token."""
    return _sign_in_form(request)


async def sign_in(request: Request) -> Response:
    """Open a session for the operator's token, and go where the reader wanted to go."""
    address, form = address_of(request.scope), await request.form(max_files=0, max_fields=10)
    try:
        _check_sign_in_form(request, form)
        _check_pace(address)
        platform = platform_of(request)
        async with platform.database.transaction() as connection:
            token = _field(form, "token").strip()
            session = await open_session(connection, platform.vault, token, platform.clock.now())
    except (OperatorUnknown, TooMany, FormTooOld) as error:
        if isinstance(error, OperatorUnknown):
            WRONG_TOKENS.take(address)
        return _sign_in_form(request, error, wanted=_field(form, "next"))
    answer = RedirectResponse(_safe(_field(form, "next")), HTTPStatus.SEE_OTHER)
    _set_cookie(request, answer, SESSION_COOKIE, session.cookie, SESSION_LASTS)
    return answer


@signed_in
async def sign_out(request: Request) -> Response:
    """End the session."""
    session: Session = request.state.session
    form = await request.form(max_files=0, max_fields=10)
    if not hmac.compare_digest(_field(form, "form").encode(), session.form_token.encode()):
        raise FormTooOld
    platform = platform_of(request)
    async with platform.database.transaction() as connection:
        await end_session(connection, session, platform.clock.now())
    answer = RedirectResponse(SIGN_IN, HTTPStatus.SEE_OTHER)
    answer.delete_cookie(SESSION_COOKIE, path=COOKIE_PATH)
    return answer


@signed_in
async def show_overview(request: Request) -> Response:
    """Show how many trades there are, whether the books balance, and the last sealed head."""
    async with platform_of(request).database.acquire() as connection:
        facts = {
            "counts": await count_all(connection),
            "trials": await fetch_trial_balance(connection),
            "block": await fetch_last_block(connection),
        }
    return render(request, "operator/overview.html", facts)


@signed_in
async def find(request: Request) -> Response:
    """Go to what has the number that somebody typed: an account, a posting or a trade."""
    number = request.query_params.get("number", "").strip()[:NUMBER_CHARACTERS_MAX]
    place = await _place_of(request, number)
    if place is None:
        return render(
            request,
            "operator/not_found.html",
            {"number": number},
            status=HTTPStatus.NOT_FOUND,
        )
    return RedirectResponse(place, HTTPStatus.SEE_OTHER)


async def _place_of(request: Request, number: str) -> str | None:
    prefix = number.partition("_")[0]
    try:
        if prefix == ACCOUNT.prefix:
            return f"{HOME}/accounts/{ACCOUNT.show(ACCOUNT.parse(number))}"
        if prefix == TRADE.prefix:
            return f"{HOME}/trades/{TRADE.show(TRADE.parse(number))}"
        if prefix == POSTING.prefix:
            return await _place_of_posting(request, number)
    except IdMalformed:
        return None
    trade = trade_id_of(number)
    return f"{HOME}/trades/{TRADE.show(trade)}" if trade else None


async def _place_of_posting(request: Request, number: str) -> str | None:
    posting = POSTING.parse(number)
    keys = [(bucket, posting) for bucket in range(BUCKETS)]
    async with platform_of(request).database.acquire() as connection:
        found = await fetch_written(connection, keys)
    bucket = next((bucket for bucket, _ in found), None)
    return None if bucket is None else f"{HOME}/postings/{bucket}/{POSTING.show(posting)}"


async def _session(request: Request) -> Session:
    platform = platform_of(request)
    cookie = request.cookies.get(SESSION_COOKIE, "")
    async with platform.database.acquire() as connection:
        return await fetch_session(connection, platform.vault, cookie, platform.clock.now())


def _sign_in_form(
    request: Request, error: XinghanError | None = None, wanted: str | None = None
) -> Response:
    """Give the form with a token of its own, which only this browser can send back."""
    secret = token_hex(16)
    facts = {
        "error": error,
        "form": _form_token(request, secret),
        "next": _safe(request.query_params.get("next", HOME) if wanted is None else wanted),
    }
    status = error.http_status if error else HTTPStatus.OK
    answer = render(request, "operator/sign_in.html", facts, status=status)
    _set_cookie(request, answer, FORM_COOKIE, secret, SESSION_LASTS)
    return answer


def _check_pace(address: str) -> None:
    if not WRONG_TOKENS.has(address):
        raise TooMany


def _check_sign_in_form(request: Request, form: FormData) -> None:
    secret = request.cookies.get(FORM_COOKIE, "")
    expected = _form_token(request, secret)
    if not secret or not hmac.compare_digest(_field(form, "form").encode(), expected.encode()):
        raise FormTooOld


def _form_token(request: Request, secret: str) -> str:
    return platform_of(request).vault.keyed_hash(secret, "operator sign-in form").hex()


def _set_cookie(
    request: Request, answer: Response, name: str, value: str, lasts: timedelta
) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=lasts // timedelta(seconds=1),
        path=COOKIE_PATH,
        secure=platform_of(request).settings.public_url.startswith("https:"),
        httponly=True,
        samesite="strict",
    )


def _field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _safe(wanted: str) -> str:
    """Lead to our own pages only, whatever the address says."""
    inside = wanted == HOME or wanted.startswith(f"{HOME}/")
    return wanted if inside and wanted.isprintable() and "\\" not in wanted else HOME


ROUTES: Final = [
    Route(HOME, show_overview),
    Route(SIGN_IN, show_sign_in),
    Route(SIGN_IN, sign_in, methods=["POST"]),
    Route(f"{HOME}/sign-out", sign_out, methods=["POST"]),
    Route(f"{HOME}/find", find),
]
