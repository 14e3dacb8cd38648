"""The story of the demonstration: two commands make the cast, a shop sells, a person pays."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from rich.console import Console

from xinghan.kit.ids import uuid7

SHOP_NAME: Final = "梅子茶馆 Mei's Teahouse"
PAYER_NAME: Final = "Lin"
PAYER_BALANCE: Final = "1000.00"
SUBJECT: Final = "龙井 Longjing tea"
AMOUNT: Final = "38.00"
REFUND: Final = "8.00"
STEPS: Final = 6


class Story:
    """Plays one payment on a running platform and prints each step as it happens."""

    def __init__(self, data: Path, address: str, console: Console) -> None:
        self._data = data
        self._address = address
        self._console = console
        self._step = 0

    def play(self) -> None:
        """Make the cast once; sell, pay, notify, query, refund; say where to look."""
        self._console.print(f"\n[bold]Xinghan 星汉[/] is running at {self._address}\n")
        shop = self._cast()
        number = f"tea-{datetime.now(UTC):%Y%m%d%H%M%S}-{uuid7().hex[-4:]}"
        with self._shop_program(shop, number) as told:
            ordered = next(told)
            self._tell("The shop's program orders with alipay.trade.precreate", ordered, "qr_code")
            paid = self._xinghan(
                "sandbox", "pay", "--payer", PAYER_NAME, "--code", ordered["qr_code"]
            )
            self._tell(f"{PAYER_NAME} scans the code and pays", paid, "trade_no", "amount", "state")
            self._tell(
                "The shop is notified; its SDK finds the signature right",
                next(told),
                "trade_status",
                "total_amount",
                "notify_id",
            )
            self._tell(
                "The shop asks for the trade",
                next(told),
                "trade_no",
                "trade_status",
                "receipt_amount",
            )
            self._tell(f"The shop gives {REFUND} back", next(told), "refund_fee", "fund_change")
        verified = self._xinghan("ledger", "verify")
        self._tell("The ledger is recomputed from its postings", verified, "ok", "postings")
        self._addresses(ordered["qr_code"])

    def _cast(self) -> Path:
        """Give the shop's configuration; the shop and the payer are made once."""
        configuration = self._data / "sandbox" / "demo-shop.json"
        if not configuration.exists():
            shop = self._xinghan("sandbox", "merchant", "--name", SHOP_NAME)
            self._xinghan("sandbox", "payer", "--name", PAYER_NAME, "--balance", PAYER_BALANCE)
            configuration.parent.mkdir(parents=True, exist_ok=True)
            configuration.touch(mode=0o600)
            configuration.write_text(json.dumps(shop), encoding="utf-8")
        shop = json.loads(configuration.read_text(encoding="utf-8"))
        # The platform may serve under another address than when the shop was made.
        shop["gateway_url"] = f"{self._address}/gateway.do"
        configuration.write_text(json.dumps(shop, ensure_ascii=False), encoding="utf-8")
        return configuration

    @contextmanager
    def _shop_program(self, configuration: Path, number: str) -> Iterator[Iterator[dict[str, str]]]:
        arguments = [str(configuration), number, SUBJECT, AMOUNT, REFUND]
        command = [sys.executable, str(Path(__file__).with_name("shop.py")), *arguments]
        with subprocess.Popen(  # noqa: S603 (our own program)
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment_with_community_sdk(),
        ) as program:
            yield self._told(program)

    def _told(self, program: "subprocess.Popen[str]") -> Iterator[dict[str, str]]:
        for line in program.stdout or ():
            yield load_json(line)
        if program.wait():
            said = program.stderr.read() if program.stderr else ""
            raise subprocess.CalledProcessError(program.returncode, ["shop.py"], stderr=said)

    def _xinghan(self, *arguments: str) -> dict[str, str]:
        """Run one of our own commands as a person would, and read its JSON."""
        shown = shlex.join(["xinghan", *arguments])
        self._console.print(f"  [dim]$ {shown}[/]", soft_wrap=True)
        done = subprocess.run(  # noqa: S603 (our own program)
            [sys.executable, "-m", "xinghan", *arguments, "--data", str(self._data), "--json"],
            check=True,
            capture_output=True,
            text=True,
        )
        return load_json(done.stdout)

    def _tell(self, what: str, content: dict[str, str], *shown: str) -> None:
        self._step += 1
        self._console.print(f"[bold green]{self._step}/{STEPS}[/] {what}")
        facts = {name: content[name] for name in shown if name in content}
        for name, value in facts.items():
            self._console.print(f"      {name:<15} {value}", soft_wrap=True)

    def _addresses(self, order: str) -> None:
        self._console.print("\n[bold]Open[/]")
        places = {
            "the order just paid": order,
            "operator page": f"{self._address}/operator",
            "its sign-in token": f"{sys.argv[0]} operator token --data {self._data}",
            "native API": f"{self._address}/api/v1/openapi.json",
            "gateway for SDKs": f"{self._address}/gateway.do",
        }
        for name, place in places.items():
            self._console.print(f"  {name:<20} {place}", soft_wrap=True)
        self._console.print("\nCtrl-C stops everything; the data stay.\n")


def environment_with_community_sdk() -> dict[str, str]:
    """Give the environment in which the shop's program finds its SDK.

    Two SDKs on PyPI share the package name `alipay`, so `make setup` keeps this one in a folder
    of its own.
    """
    folder = Path(sys.prefix) / "share" / "python-alipay-sdk"
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONWARNINGS": "ignore"}


def load_json(text: str) -> dict[str, str]:
    """Read one JSON object that a command printed."""
    loaded: dict[str, str] = json.loads(text)
    return loaded
