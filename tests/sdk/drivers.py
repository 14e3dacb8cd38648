"""The unmodified SDKs, each run in a program of its own, as a merchant's program would run it.

Both Python SDKs install a package called `alipay`, so python-alipay-sdk lives in a folder of its
own; alipay-sdk for Node lives in `node/node_modules`. `make setup` installs both.
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
COMMUNITY_SDK = Path(sys.prefix) / "share" / "python-alipay-sdk"
NODE_SDK = HERE / "node" / "node_modules" / "alipay-sdk"
SDK_SECONDS_MAX = 120

Job = dict[str, object]
Results = list[dict]


@dataclass(frozen=True)
class SdkApp:
    """What an SDK is configured with: bare base64 keys, and PEM certificates or none."""

    app_id: str
    private_key_pkcs1: str
    private_key_pkcs8: str
    platform_public_key: str
    aes_key: str
    certificates: dict[str, str] | None = None


def run_official(app: SdkApp, url: str, calls: list[Job], **config: str) -> Results:
    """Run alipay-sdk-python; its gateway's URL cannot name a port."""
    settings = {
        "app_id": app.app_id,
        "server_url": url,
        "app_private_key": app.private_key_pkcs1,
        "alipay_public_key": app.platform_public_key,
        **config,
    }
    command = [sys.executable, str(HERE / "official_client.py")]
    return _run(command, {"config": settings, "calls": calls})


def run_community(app: SdkApp, url: str, calls: list[Job], **config: str) -> Results:
    """Run python-alipay-sdk, in certificate mode when the app has certificates."""
    if not COMMUNITY_SDK.is_dir():
        pytest.fail(f"python-alipay-sdk is not in {COMMUNITY_SDK}; run `make setup`")
    settings = {
        "appid": app.app_id,
        "app_private_key_string": _pem("RSA PRIVATE KEY", app.private_key_pkcs1),
        **config,
    }
    strings = {}
    if app.certificates is None:
        settings["alipay_public_key_string"] = _pem("PUBLIC KEY", app.platform_public_key)
    else:
        strings = {
            "app_public_key_cert_string": app.certificates["app"],
            "alipay_public_key_cert_string": app.certificates["platform"],
            "alipay_root_cert_string": app.certificates["root"],
        }
    job: Job = {"config": settings, "certificates": strings, "gateway": url, "calls": calls}
    return _run([sys.executable, str(HERE / "community_client.py")], job, COMMUNITY_SDK)


def run_node(app: SdkApp, url: str, calls: list[Job], **config: object) -> Results:
    """Run alipay-sdk for Node, v2 and v3, in certificate mode when the app has certificates."""
    node = shutil.which("node", path=_search_path())
    if node is None or not NODE_SDK.is_dir():
        pytest.fail("Node or its alipay-sdk is not installed; run `make setup`")
    settings: Job = {
        "appId": app.app_id,
        "privateKey": app.private_key_pkcs8,
        "keyType": "PKCS8",
        "gateway": url,
        "endpoint": url.removesuffix("/gateway.do"),
        "encryptKey": app.aes_key,
        "camelcase": False,
        **config,
    }
    if app.certificates is None:
        settings["alipayPublicKey"] = app.platform_public_key
    else:
        settings["appCertContent"] = app.certificates["app"]
        settings["alipayPublicCertContent"] = app.certificates["platform"]
        settings["alipayRootCertContent"] = app.certificates["root"]
    command = [node, str(HERE / "node" / "client.mjs")]
    return _run(command, {"config": settings, "calls": calls})


def _run(command: list[str], job: Job, python_path: Path | None = None) -> Results:
    # SDKs honour proxies, which know nothing of our loopback addresses.
    environment = {**os.environ, "PATH": _search_path(), "no_proxy": "*", "NO_PROXY": "*"}
    if python_path is not None:
        environment["PYTHONPATH"] = str(python_path)
    done = subprocess.run(
        command,
        input=json.dumps(job),
        capture_output=True,
        text=True,
        env=environment,
        timeout=SDK_SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: Results = json.loads(done.stdout)
    return results


def _search_path() -> str:
    """Put the environment's own programs first: Node may come from its wheel."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])


def _pem(kind: str, body: str) -> str:
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"
