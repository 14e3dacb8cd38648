"""What both doors do with a call: find its app, check its certificates, run its method."""

import re
from collections.abc import Mapping

import structlog

from xinghan.gateway.errors import GatewayError, invalid, missing, result_unknown
from xinghan.gateway.model import Call, FindApp, MethodHandler
from xinghan.identity import AppCredentials
from xinghan.kit.db import ConnectionLost
from xinghan.kit.signing import SignType

_APP_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_log = structlog.get_logger(__name__)


async def find_known_app(app_id: str, find_app: FindApp) -> AppCredentials:
    """Look an app up.

    Raises GatewayError: `isv.invalid-app-id` when there is none, 20000 when the look-up fails.
    """
    try:
        app = await find_app(app_id) if _APP_ID.fullmatch(app_id) else None
    except ConnectionLost as error:
        raise _database_lost(error, app_id) from error
    except Exception as error:
        _log.exception("gateway_app_lookup_failed", app_id=app_id)
        raise result_unknown() from error
    if app is None:
        raise invalid("isv.invalid-app-id", "不存在的 app_id", "there is no app with this app_id")
    return app


async def run_call(call: Call, run: MethodHandler) -> Mapping[str, object]:
    """Run a call's method and give its node.

    Raises GatewayError, also for a fault of ours: it is logged, and the caller is told that the
    result is unknown.
    """
    try:
        return await run(call)
    except GatewayError:
        raise
    except ConnectionLost as error:
        raise _database_lost(error, call.app.app_id, call.method) from error
    except Exception as error:
        _log.exception("gateway_method_failed", method=call.method, app_id=call.app.app_id)
        raise result_unknown() from error


def check_sign_type(app: AppCredentials, name: str) -> SignType:
    """Give the sign type, which this app may use and has a key for. Raises GatewayError."""
    sign_type = parse_sign_type(name)
    if sign_type is None or sign_type not in app.sign_types:
        raise invalid_sign_type()
    if not app.public_keys:
        raise missing("isv.missing-signature-key", "public key")
    return sign_type


def check_certificates(
    app: AppCredentials, app_cert_sn: str | None, root_cert_sn: str | None
) -> None:
    """Check that the request names the certificates that the app works with, or none.

    Raises GatewayError.
    """
    if app.certificates is None:
        if app_cert_sn or root_cert_sn:
            raise invalid(
                "isv.invalid-app-cert-sn",
                "应用使用公钥模式，请求却带有证书 SN",
                "the app works with keys, but the request names certificates",
            )
        return
    if not app_cert_sn:
        raise missing("isv.missing-app-cert-sn", "app_cert_sn")
    if app_cert_sn != app.certificates.app:
        raise invalid(
            "isv.invalid-app-cert-sn",
            f"app_cert_sn 不是应用的证书 SN {app.certificates.app}",
            f"app_cert_sn is not the app's certificate, {app.certificates.app}",
        )
    if not root_cert_sn:
        raise missing("isv.missing-alipay-root-cert-sn", "alipay_root_cert_sn")
    if root_cert_sn != app.certificates.root:
        raise invalid(
            "isv.invalid-alipay-root-cert-sn",
            f"alipay_root_cert_sn 不是平台的根证书 SN {app.certificates.root}",
            f"alipay_root_cert_sn is not the platform's root, {app.certificates.root}",
        )


def parse_sign_type(name: str) -> SignType | None:
    """Read a sign type as the wire writes it; None for anything else."""
    try:
        return SignType(name)
    except ValueError:
        return None


def invalid_sign_type() -> GatewayError:
    """Give the error of a sign type that does not exist, or that the app may not use."""
    return invalid(
        "isv.invalid-signature-type",
        "签名类型无效，可用 RSA2 或应用允许的其他类型",
        "the sign_type is not one that the app may use; RSA2 is the usual one",
    )


def invalid_signature(verified_text: str) -> GatewayError:
    """Give the error of a signature that does not hold, with the text that was verified."""
    return invalid(
        "isv.invalid-signature",
        "验签出错，请检查私钥与应用公钥是否匹配，并与网关生成的待签名字符串比较",
        "the signature does not hold; check that the private key belongs to the app's public "
        f"key, and compare with the string that the gateway built: {verified_text}",
    )


def _database_lost(error: ConnectionLost, app_id: str, method: str = "") -> GatewayError:
    """Log in one line that the database is away, which is no bug to trace; give 20000."""
    _log.warning("gateway_database_lost", method=method, app_id=app_id, reason=str(error))
    return result_unknown()
