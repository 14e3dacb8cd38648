"""The open gateway's methods: from business content to the verbs of the payments room, and back."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog

from xinghan.gateway.errors import (
    CODE_LIMITED,
    CODE_UNAUTHORISED,
    GatewayError,
    business_failed,
    result_unknown,
)
from xinghan.gateway.methods.close import cancel, close
from xinghan.gateway.methods.order import create, precreate
from xinghan.gateway.methods.pay import pay
from xinghan.gateway.methods.query import query
from xinghan.gateway.methods.refund import query_refund, refund
from xinghan.gateway.methods.rooms import Rooms
from xinghan.gateway.model import Call, JsonObject, MethodHandler
from xinghan.kit.errors import TooMany, XinghanError
from xinghan.kit.limits import Buckets

Method = Callable[[Rooms, Call], Awaitable[JsonObject]]

METHODS: Final[Mapping[str, Method]] = {
    "alipay.trade.cancel": cancel,
    "alipay.trade.close": close,
    "alipay.trade.create": create,
    "alipay.trade.fastpay.refund.query": query_refund,
    "alipay.trade.pay": pay,
    "alipay.trade.precreate": precreate,
    "alipay.trade.query": query,
    "alipay.trade.refund": refund,
}

SERVER_ERRORS: Final = 500
_log = structlog.get_logger(__name__)


def runner(rooms: Rooms, pace: Buckets) -> MethodHandler:
    """Give what runs a call's method; `pace` is how often one app may call.

    What the rooms refuse becomes an error of the gateway with the refusal's own `sub_code`.
    """

    async def run(call: Call) -> JsonObject:
        # Only calls with a good signature count, so that no stranger can use an app's pace up.
        if not pace.take(call.app.app_id):
            raise _limited(TooMany())
        if call.app_auth_token is not None:
            raise _no_authorisation()
        try:
            return await METHODS[call.method](rooms, call)
        except XinghanError as error:
            raise _shown(error, call) from error

    return run


def _shown(error: XinghanError, call: Call) -> GatewayError:
    """Translate a refusal; a fault of the platform is logged and told as 20000."""
    if error.http_status >= SERVER_ERRORS:
        _log.error(
            "gateway_method_failed", method=call.method, app_id=call.app.app_id, exc_info=error
        )
        return result_unknown()
    if not error.sub_code.startswith("ACQ."):
        return _limited(error)
    return business_failed(error.sub_code, _words(error))


def _words(error: XinghanError) -> str:
    """Say in Chinese, then in English: which field, what is wrong, what happened to the money."""
    chinese, english = (f"{error.field}：", f"{error.field}: ") if error.field else ("", "")
    return (
        f"{chinese}{error.message('zh')}（{error.money_message('zh')}）；"
        f"{english}{error.message('en')} ({error.money_message('en')})"
    )


def _limited(error: XinghanError) -> GatewayError:
    return GatewayError(CODE_LIMITED, "isv.app-call-limited", _words(error))


def _no_authorisation() -> GatewayError:
    """Refuse to act for another merchant: the app's own would get the money."""
    return GatewayError(
        CODE_UNAUTHORISED,
        "aop.invalid-app-auth-token",
        "app_auth_token 无效：平台尚不支持代其他商户调用，请以商户自己的应用调用；"
        "app_auth_token is not valid: the platform does not act for another merchant yet, "
        "call with that merchant's own app",
    )
