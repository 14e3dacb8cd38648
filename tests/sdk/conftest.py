"""A gateway on a loopback address, and the SDKs that drive it from programs of their own."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xinghan.gateway import certificates as pki
from xinghan.kit import signing

HERE = Path(__file__).parent
COMMUNITY_SDK = HERE / ".python-alipay-sdk"
NODE_SDK = HERE / "node" / "node_modules" / "alipay-sdk"
HTTP_PORT = 80
START_SECONDS_MAX = 60
SDK_SECONDS_MAX = 120
NOW = datetime(2026, 3, 1, tzinfo=UTC)

Job = dict[str, object]
Results = list[dict]


@dataclass(frozen=True)
class SdkApp:
    """A merchant's app with everything that an SDK is configured with."""

    app_id: str
    private_key_pkcs1: str
    private_key_pkcs8: str
    public_key: str
    platform_private_key: str
    platform_public_key: str
    aes_key: str
    certificates: dict[str, str] | None
    serials: dict[str, str] | None


@dataclass(frozen=True)
class Gateway:
    """Where the gateway listens, and the apps that it knows."""

    host: str
    key_app: SdkApp
    certificate_app: SdkApp

    @property
    def url(self) -> str:
        return f"http://{self.host}/gateway.do"

    @property
    def endpoint(self) -> str:
        return f"http://{self.host}"


def make_app(app_id: str, authority: pki.CertificateAuthority | None) -> SdkApp:
    app_key, platform_key = signing.generate_private_key(), signing.generate_private_key()
    files = serials = None
    if authority is not None:
        issued = {
            name: pki.issue_certificate(
                authority,
                key.public_key(),
                organisation="Mei Teahouse",
                common_name=f"{name}-{app_id}",
                now=NOW,
            )
            for name, key in (("app", app_key), ("platform", platform_key))
        }
        files = {name: pki.export_certificates(one) for name, one in issued.items()}
        files["root"] = pki.export_certificates(authority.certificate)
        found = pki.serials_of(issued["app"], issued["platform"], [authority.certificate])
        serials = {"app": found.app, "platform": found.platform, "root": found.root}
    return SdkApp(
        app_id,
        signing.export_private_key_pkcs1(app_key),
        signing.export_private_key_pkcs8(app_key),
        signing.export_public_key(app_key.public_key()),
        signing.export_private_key_pkcs1(platform_key),
        signing.export_public_key(platform_key.public_key()),
        signing.generate_aes_key(),
        files,
        serials,
    )


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    authority = pki.create_authority(
        signing.generate_private_key(), organisation="Xinghan", now=NOW
    )
    host = free_loopback_address()
    served = Gateway(
        host, make_app("2021000000000001", None), make_app("2021000000000002", authority)
    )
    apps = tmp_path_factory.mktemp("echo") / "apps.json"
    entries = [
        {
            "app_id": one.app_id,
            "app_public_key": one.public_key,
            "platform_private_key": one.platform_private_key,
            "aes_key": one.aes_key,
            "certificates": one.serials,
        }
        for one in (served.key_app, served.certificate_app)
    ]
    apps.write_text(json.dumps(entries), "utf-8")
    with serve(host, apps):
        yield served


def free_loopback_address() -> str:
    """Find an address whose port 80 is free: the official SDK cannot name another port."""
    for last in range(2, 255):
        host = f"127.0.{80 + os.getpid() % 150}.{last}"
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind((host, HTTP_PORT))
            except PermissionError:
                pytest.skip("port 80 needs a privilege here, and the official SDK knows no other")
            except OSError:
                continue
            return host
    pytest.fail("port 80 is taken on every loopback address tried")


@contextlib.contextmanager
def serve(host: str, apps: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "granian", "--interface", "asgi", "--no-ws"]
    command += ["--host", host, "--port", str(HTTP_PORT), "echo_app:app"]
    server = subprocess.Popen(
        command,
        cwd=HERE,
        env={**os.environ, "ECHO_APPS": str(apps), "PYTHONPATH": str(HERE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        wait_for(server, host)
        yield
    finally:
        server.terminate()
        server.communicate(timeout=START_SECONDS_MAX)


def wait_for(server: subprocess.Popen[str], host: str) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if server.poll() is not None:
            pytest.fail(f"the gateway did not start: {server.communicate()[0]}")
        with contextlib.suppress(OSError), socket.create_connection((host, HTTP_PORT), 1):
            return
        time.sleep(0.05)
    pytest.fail("the gateway did not start in time")


def run_sdk(command: list[str], job: Job, python_path: Path | None = None) -> Results:
    """Run a driver; SDKs honour proxies, which know nothing of our loopback addresses."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {**os.environ, "PATH": path, "no_proxy": "*", "NO_PROXY": "*"}
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


@pytest.fixture(scope="session")
def official_sdk(gateway: Gateway) -> Callable[..., Results]:
    def run(app: SdkApp, calls: list[Job], **config: str) -> Results:
        settings = {
            "app_id": app.app_id,
            "server_url": gateway.url,
            "app_private_key": app.private_key_pkcs1,
            "alipay_public_key": app.platform_public_key,
            **config,
        }
        job = {"config": settings, "calls": calls}
        return run_sdk([sys.executable, str(HERE / "official_client.py")], job)

    return run


@pytest.fixture(scope="session")
def community_sdk(gateway: Gateway) -> Callable[..., Results]:
    if not COMMUNITY_SDK.is_dir():
        pytest.fail("python-alipay-sdk is not installed beside the tests; run `make setup`")

    def run(app: SdkApp, calls: list[Job], **config: str) -> Results:
        settings = {
            "appid": app.app_id,
            "app_private_key_string": pem("RSA PRIVATE KEY", app.private_key_pkcs1),
            **config,
        }
        files = app.certificates
        names = {"app": "app_public_key", "platform": "alipay_public_key", "root": "alipay_root"}
        if files is None:
            settings["alipay_public_key_string"] = pem("PUBLIC KEY", app.platform_public_key)
        strings = {f"{name}_cert_string": files[key] for key, name in names.items()} if files else {}
        job = {"config": settings, "certificates": strings, "gateway": gateway.url, "calls": calls}
        command = [sys.executable, str(HERE / "community_client.py")]
        return run_sdk(command, job, COMMUNITY_SDK)

    return run


@pytest.fixture(scope="session")
def node_sdk(gateway: Gateway) -> Callable[..., Results]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    node = shutil.which("node", path=path)
    if node is None or not NODE_SDK.is_dir():
        pytest.fail("Node or its alipay-sdk is not installed; run `make setup`")

    def run(app: SdkApp, calls: list[Job], **config: object) -> Results:
        settings: Job = {
            "appId": app.app_id,
            "privateKey": app.private_key_pkcs8,
            "keyType": "PKCS8",
            "gateway": gateway.url,
            "endpoint": gateway.endpoint,
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
        return run_sdk([node, str(HERE / "node" / "client.mjs")], {"config": settings, "calls": calls})

    return run


def pem(kind: str, body: str) -> str:
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----"
