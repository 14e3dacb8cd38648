"""The open gateway's errors: the codes that Alipay SDKs know, with this platform's own words.

`code` says who has to act and is the same set for every method; `sub_code` says what happened:
`isv.*` for a request that is wrong, `isp.*` for a fault of the platform, `ACQ.*` and the like for
what a method refuses. Texts are Chinese first, as the programs' authors expect, then English.
"""

from http import HTTPStatus

CODE_SUCCESS = "10000"
CODE_IN_PROCESS = "10003"
CODE_UNKNOWN = "20000"
CODE_UNAUTHORISED = "20001"
CODE_MISSING = "40001"
CODE_INVALID = "40002"
CODE_CONDITIONS = "40003"
CODE_BUSINESS = "40004"
CODE_LIMITED = "40005"
CODE_PERMISSION = "40006"

MESSAGES = {
    CODE_SUCCESS: "Success",
    CODE_IN_PROCESS: "order success pay inprocess",
    CODE_UNKNOWN: "Service Currently Unavailable",
    CODE_UNAUTHORISED: "Insufficient Token Permissions",
    CODE_MISSING: "Missing Required Arguments",
    CODE_INVALID: "Invalid Arguments",
    CODE_CONDITIONS: "Insufficient Conditions",
    CODE_BUSINESS: "Business Failed",
    CODE_LIMITED: "Call Limited",
    CODE_PERMISSION: "Insufficient Permissions",
}

_V3_STATUSES = {
    CODE_UNKNOWN: HTTPStatus.SERVICE_UNAVAILABLE,
    CODE_UNAUTHORISED: HTTPStatus.UNAUTHORIZED,
    CODE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    CODE_PERMISSION: HTTPStatus.FORBIDDEN,
}
_V3_STATUSES_BY_SUB_CODE = {
    "isv.missing-signature": HTTPStatus.UNAUTHORIZED,
    "isv.invalid-signature": HTTPStatus.UNAUTHORIZED,
    "isv.invalid-app-id": HTTPStatus.UNAUTHORIZED,
    "isv.invalid-method": HTTPStatus.NOT_FOUND,
}


class GatewayError(Exception):
    """A refusal in the gateway's own terms; the wire shows it, and nothing but it.

    `code`, `msg` and `sub_code` are the wire's; `sub_msg` tells a developer what to change.
    `fields` are further members of the answer, such as the order's number.
    """

    def __init__(
        self,
        code: str,
        sub_code: str,
        sub_msg: str,
        *,
        msg: str | None = None,
        fields: dict[str, object] | None = None,
    ) -> None:
        super().__init__(f"{code} {sub_code}: {sub_msg}")
        self.code = code
        self.msg = MESSAGES[code] if msg is None else msg
        self.sub_code = sub_code
        self.sub_msg = sub_msg
        self.fields = fields or {}

    @property
    def v3_status(self) -> int:
        """The HTTP status under which the REST door gives this error."""
        return _V3_STATUSES_BY_SUB_CODE.get(
            self.sub_code, _V3_STATUSES.get(self.code, HTTPStatus.BAD_REQUEST)
        )


def business_failed(sub_code: str, sub_msg: str, **fields: object) -> GatewayError:
    """Give the error of a method that refused: 40004 with the method's own `sub_code`."""
    return GatewayError(CODE_BUSINESS, sub_code, sub_msg, fields=fields)


def result_unknown() -> GatewayError:
    """Give 20000: the platform failed half-way, and the caller has to query before it retries."""
    return GatewayError(
        CODE_UNKNOWN,
        "isp.unknow-error",
        "平台暂时不可用，本次请求结果未知，请先查询再重试；"
        "the platform is unavailable and the result is unknown: query before you try again",
    )


def missing(sub_code: str, parameter: str) -> GatewayError:
    """Give 40001 for a common parameter that the request lacks."""
    return GatewayError(
        CODE_MISSING, sub_code, f"请求缺少参数 {parameter}；the request lacks {parameter}"
    )


def invalid(sub_code: str, chinese: str, english: str) -> GatewayError:
    """Give 40002 for a request that cannot be understood or trusted."""
    return GatewayError(CODE_INVALID, sub_code, f"{chinese}；{english}")


def invalid_parameter(chinese: str, english: str) -> GatewayError:
    """Give 40002 with `isv.invalid-parameter`."""
    return invalid("isv.invalid-parameter", chinese, english)
