"""Drives the unmodified python-alipay-sdk: one JSON job on stdin, a list of results on stdout."""

import json
import sys

from alipay import AliPay, DCAliPay
from alipay.exceptions import AliPayException, AliPayValidationError


def main() -> None:
    job = json.load(sys.stdin)
    if job["certificates"]:
        client = DCAliPay(**job["config"], **job["certificates"])
    else:
        client = AliPay(**job["config"])
    client._gateway = job["gateway"]
    json.dump([run(client, call) for call in job["calls"]], sys.stdout)


def run(client: AliPay, call: dict) -> dict:
    try:
        if call["action"] == "check_notify":
            data = dict(call["data"])
            return {"result": client.verify(data, data.pop("sign"))}
        if call["action"] == "serials":
            platform = client.get_cert_sn(client._alipay_public_key_cert_string)
            app, root = client.app_cert_sn, client.alipay_root_cert_sn
            return {"result": {"app": app, "platform": platform, "root": root}}
        arguments = call.get("arguments", {})
        return {"result": client.server_api(call["method"], call["biz_content"], **arguments)}
    except AliPayException as error:
        return {"error": str(error)}
    except AliPayValidationError:
        return {"error": "the SDK refused the answer's signature"}


main()
