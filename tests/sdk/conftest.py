"""A gateway on a loopback address, for the SDKs to drive."""

import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sdk.drivers import SdkApp
from xinghan.kit import certificates as pki
from xinghan.kit import signing
from xinghan.kit.certificates import CertificateSerials

HERE = Path(__file__).parent
HTTP_PORT = 80
START_SECONDS_MAX = 60
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Gateway:
    """Where the gateway listens, the apps that it knows, and what it signs for them with."""

    url: str
    key_app: SdkApp
    certificate_app: SdkApp
    platform_private_key: str
    serials: CertificateSerials


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    authority = pki.create_authority(
        signing.generate_private_key(), organisation="Xinghan", now=NOW
    )
    host = free_loopback_address()
    platform_key, entries, apps = signing.generate_private_key(), [], []
    for app_id, issuer in (("2021000000000001", None), ("2021000000000002", authority)):
        app, entry = make_app(app_id, platform_key, issuer)
        apps.append(app)
        entries.append(entry)
    stored = tmp_path_factory.mktemp("echo") / "apps.json"
    stored.write_text(json.dumps(entries), "utf-8")
    with serve(host, stored):
        signs_with = signing.export_private_key_pkcs1(platform_key)
        serials = CertificateSerials(**entries[1]["certificates"])
        yield Gateway(f"http://{host}/gateway.do", *apps, signs_with, serials)


def make_app(
    app_id: str, platform_key: signing.rsa.RSAPrivateKey, authority: pki.CertificateAuthority | None
) -> tuple[SdkApp, dict[str, object]]:
    """Make an app as its SDK sees it, and as the gateway stores it."""
    key = signing.generate_private_key()
    files = serials = None
    if authority is not None:
        app, platform = (
            pki.issue_certificate(
                authority,
                one.public_key(),
                organisation="Mei's teahouse",
                common_name=name,
                now=NOW,
            )
            for name, one in ((app_id, key), ("Xinghan platform", platform_key))
        )
        root = authority.certificate
        files = {"app": app, "platform": platform, "root": root}
        files = {name: pki.export_certificates(one) for name, one in files.items()}
        serials = dataclasses.asdict(pki.serials_of(app, platform, [root]))
    sdk_app = SdkApp(
        app_id,
        signing.export_private_key_pkcs1(key),
        signing.export_private_key_pkcs8(key),
        signing.export_public_key(platform_key.public_key()),
        signing.generate_aes_key(),
        files,
    )
    return sdk_app, {
        "app_id": app_id,
        "app_public_key": signing.export_public_key(key.public_key()),
        "platform_private_key": signing.export_private_key_pkcs1(platform_key),
        "aes_key": sdk_app.aes_key,
        "certificates": serials,
    }


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
