"""What a sandbox merchant's program is configured with, as files for its owner only."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from xinghan.cli.refusal import CommandRefused
from xinghan.identity import CertificateFiles

OWNER_ONLY: Final = 0o600


def configuration_path(data: Path, app_id: str) -> Path:
    """Tell where an app's configuration lies in a data directory; its certificates lie beside."""
    return data / "sandbox" / app_id / "app.json"


def write_credentials(
    data: Path, configuration: Mapping[str, str], certificates: CertificateFiles | None
) -> dict[str, object]:
    """Write `app.json` and the certificates; give the configuration with the certificates' paths.

    Raises CommandRefused when the files cannot be written.
    """
    path = configuration_path(data, configuration["app_id"])
    complete: dict[str, object] = dict(configuration)
    try:
        path.parent.mkdir(mode=0o700, parents=True)
        if certificates is not None:
            complete["certificates"] = _write_certificates(path.parent, certificates)
        _write(path, json.dumps(complete, ensure_ascii=False, indent=2))
    except OSError as error:
        raise _unwritable(path.parent, error) from None
    return complete


def _write_certificates(directory: Path, certificates: CertificateFiles) -> dict[str, str]:
    paths: dict[str, str] = {}
    for name, pem in asdict(certificates).items():
        paths[name] = str(directory / f"{name}.crt")
        _write(directory / f"{name}.crt", pem)
    return paths


def _write(path: Path, content: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, OWNER_ONLY)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(content)


def _unwritable(directory: Path, error: OSError) -> CommandRefused:
    return CommandRefused(
        f"{directory} cannot be written: {error.strerror}. Nothing was changed.",
        f"无法写入 {directory}：{error.strerror}。未作任何更改。",
    )
