"""Drives the unmodified alipay-sdk-python: one JSON job on stdin, a list of results on stdout."""

import json
import sys
from importlib import import_module

from alipay.aop.api.AlipayClientConfig import AlipayClientConfig
from alipay.aop.api.DefaultAlipayClient import DefaultAlipayClient
from alipay.aop.api.exception.Exception import RequestException, ResponseException
from alipay.aop.api.FileItem import FileItem
from alipay.aop.api.request.AlipayOfflineMaterialImageUploadRequest import (
    AlipayOfflineMaterialImageUploadRequest,
)
from alipay.aop.api.util.SignatureUtils import get_sign_content, verify_with_rsa


def main() -> None:
    job = json.load(sys.stdin)
    config = AlipayClientConfig()
    for name, value in job["config"].items():
        setattr(config, name, value)
    json.dump([run(config, call) for call in job["calls"]], sys.stdout)


def run(config: AlipayClientConfig, call: dict) -> dict:
    client = DefaultAlipayClient(config)
    try:
        if call["action"] == "check_notify":
            return {"result": check_notify(config, call["data"])}
        if call["action"] == "upload":
            return {"result": json.loads(client.execute(upload(call)))}
        request = new_request(call["method"])
        request.biz_content = call["biz_content"]
        request.notify_url = call.get("notify_url")
        if call["action"] == "page_execute":
            return {"result": client.page_execute(request, call["http_method"])}
        return {"result": json.loads(client.execute(request))}
    except (RequestException, ResponseException) as error:
        return {"error": str(error)}


def new_request(method: str) -> object:
    """Make the SDK's own request for a method: it has a class, in a module, for each."""
    name = "".join(part.capitalize() for part in method.split(".")) + "Request"
    return getattr(import_module(f"alipay.aop.api.request.{name}"), name)()


def upload(call: dict) -> AlipayOfflineMaterialImageUploadRequest:
    request = AlipayOfflineMaterialImageUploadRequest()
    request.image_type = call["image_type"]
    request.image_name = call["image_name"]
    content = call["content"].encode("latin-1")
    request.image_content = FileItem(file_name=call["image_name"], file_content=content)
    return request


def check_notify(config: AlipayClientConfig, data: dict) -> bool:
    unsigned = {name: value for name, value in data.items() if name not in {"sign", "sign_type"}}
    message = get_sign_content(unsigned).encode(config.charset)
    return verify_with_rsa(config.alipay_public_key, message, data["sign"])


main()
