"""Ways in which shops' programs speak to the gateway: the three SDKs in their modes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from journeys.scene import Shop
from sdk.drivers import Job, SdkApp, run_community, run_node, run_official

Call = tuple[str, dict[str, object]]
Node = dict[str, object]
Speak = Callable[[Shop, Sequence[Call]], list[Node]]


@dataclass(frozen=True)
class Sdk:
    """An SDK in one of its modes; `speak` makes calls one after the other and gives their nodes.

    Not every SDK can read an answer without a signature, as an unknown app gets it.
    """

    name: str
    speak: Speak
    certificate: bool = False
    reads_unsigned: bool = True

    def __str__(self) -> str:
        """Name it in the list of tests."""
        return self.name


def official(**config: str) -> Speak:
    """alipay-sdk-python."""

    def speak(shop: Shop, calls: Sequence[Call]) -> list[Node]:
        jobs: list[Job] = [
            {"action": "execute", "method": method, "biz_content": content}
            for method, content in calls
        ]
        return [_node(one) for one in run_official(shop.sdk, shop.gateway_url, jobs, **config)]

    return speak


def community(shop: Shop, calls: Sequence[Call]) -> list[Node]:
    """python-alipay-sdk."""
    jobs: list[Job] = [
        {"action": "call", "method": method, "biz_content": content} for method, content in calls
    ]
    return [_node(one) for one in run_community(shop.sdk, shop.gateway_url, jobs)]


def node(*, encrypted: bool = False) -> Speak:
    """The alipay-sdk of npm on v2; it verifies no signature over an encrypted answer."""

    def speak(shop: Shop, calls: Sequence[Call]) -> list[Node]:
        jobs: list[Job] = [
            {
                "action": "exec",
                "method": method,
                "params": {"bizContent": content, "needEncrypt": encrypted},
                "validateSign": not encrypted,
            }
            for method, content in calls
        ]
        return [_node(one) for one in run_node(shop.sdk, shop.gateway_url, jobs)]

    return speak


def node_v3(*, encrypted: bool = False) -> Speak:
    """The alipay-sdk of npm on v3; its answers are given in the words of v2."""

    def speak(shop: Shop, calls: Sequence[Call]) -> list[Node]:
        jobs: list[Job] = [
            {
                "action": "curl",
                "httpMethod": "POST",
                "path": "/v3/" + method.replace(".", "/"),
                "options": {"body": content, "needEncrypt": encrypted},
            }
            for method, content in calls
        ]
        return [_node_of_v3(one) for one in run_node(shop.sdk, shop.gateway_url, jobs)]

    return speak


SDKS = [
    Sdk("official", official()),
    Sdk("official-rsa-gbk", official(sign_type="RSA", charset="gbk")),
    Sdk("community", community),
    Sdk("community-certificate", community, certificate=True),
    Sdk("node", node(), reads_unsigned=False),
    Sdk("node-aes", node(encrypted=True)),
    Sdk("node-certificate", node(), certificate=True, reads_unsigned=False),
    Sdk("node-v3", node_v3()),
    Sdk("node-v3-certificate-aes", node_v3(encrypted=True), certificate=True),
]


def with_key_of(shop: Shop, other: Shop) -> Shop:
    """Give a shop whose program signs with another's key."""
    return _changed(
        shop,
        private_key_pkcs1=other.sdk.private_key_pkcs1,
        private_key_pkcs8=other.sdk.private_key_pkcs8,
    )


def with_app_id(shop: Shop, app_id: str) -> Shop:
    """Give a shop whose program names another app."""
    return _changed(shop, app_id=app_id)


def _changed(shop: Shop, **changes: str) -> Shop:
    sdk: SdkApp = replace(shop.sdk, **changes)  # type: ignore[arg-type]
    return replace(shop, sdk=sdk)


def _node(answer: dict) -> Node:
    """Give the answer's node, or what the SDK made of an answer that it could not read."""
    return dict(answer["result"]) if "result" in answer else {"refused": answer["error"]}


def _node_of_v3(answer: dict) -> Node:
    if "result" in answer:
        return {"code": "10000", **answer["result"]["data"]}
    return {"code": "40004", "sub_code": answer["error"]["code"], "refused": answer["error"]}
