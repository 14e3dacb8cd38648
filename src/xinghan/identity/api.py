"""Who may ask the native API: whoever shows the operator's token."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from xinghan.identity.operators import OPERATOR, OperatorUnknown, check_operator_token
from xinghan.kit.errors import TooMany
from xinghan.kit.http import address_of
from xinghan.kit.limits import Buckets
from xinghan.kit.native import Store

# Ten wrong tokens at once, then one a minute: an honest operator errs less.
WRONG_TOKENS: Final = Buckets(per_second=1 / 60, burst=10)

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="operator",
    description="The operator's token, as `xinghan operator token` prints it.",
)
_Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def require_operator(request: Request, store: Store, credentials: _Credentials) -> None:
    """Let the operator in. Raises OperatorUnknown, TooMany after many wrong tokens."""
    address = address_of(request.scope)
    if not WRONG_TOKENS.has(address):
        raise TooMany
    try:
        async with store.acquire() as connection:
            await check_operator_token(connection, credentials.credentials if credentials else "")
    except OperatorUnknown:
        WRONG_TOKENS.take(address)
        raise
    request.state.actor = OPERATOR
