"""Around the methods: the pace of an app, other merchants' calls, faults of the platform."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from gateway.conftest import Signed
from gateway.till import Till, order
from xinghan.gateway import v2
from xinghan.gateway.errors import GatewayError
from xinghan.gateway.methods import METHODS, runner
from xinghan.gateway.model import Call
from xinghan.identity import App
from xinghan.kit.db import Connection, ConnectionLost, Database
from xinghan.kit.limits import Buckets
from xinghan.kit.vault import SealBroken


async def test_an_app_that_calls_too_often_is_told_so(till: Till, shop: App) -> None:
    now = 0.0
    run = runner(till.rooms, Buckets(per_second=1, burst=2, clock=lambda: now))
    call = Call("alipay.trade.cancel", shop, {"out_trade_no": "T1"}, {})
    for _ in range(2):
        await run(call)
    with pytest.raises(GatewayError) as limited:
        await run(call)
    assert (limited.value.code, limited.value.sub_code) == ("40005", "isv.app-call-limited")
    assert await run(replace(call, app=replace(shop, app_id="2021000000000002")))
    now = 1.0
    assert await run(call)


async def test_nobody_calls_for_another_merchant(till: Till, shop: App) -> None:
    error = await till.refused(shop, "precreate", order(), app_auth_token="202601BBtoken")
    assert (error.code, error.sub_code) == ("20001", "aop.invalid-app-auth-token")


@pytest.mark.parametrize("fault", [ConnectionLost("gone"), SealBroken(), KeyError("bug")])
async def test_a_fault_of_the_platform_is_an_unknown_result(
    till: Till,
    shop: App,
    signed: Signed,
    monkeypatch: pytest.MonkeyPatch,
    fault: Exception,
) -> None:
    @asynccontextmanager
    async def away(_database: Database) -> AsyncIterator[Connection]:
        raise fault
        yield

    async def find(_app_id: str) -> App:
        return shop

    content = (
        '{"out_trade_no":"T1","subject":"tea","total_amount":"1","buyer_id":"2088",'
        '"refund_amount":"1","out_request_no":"R1","auth_code":"281234567890123456"}'
    )
    monkeypatch.setattr(Database, "acquire", away)
    for method in METHODS:
        request = signed(method=method, biz_content=content)
        with capture_logs() as logs:
            answer = await v2.respond(request, METHODS, find, till.run)
        assert answer.status == 200
        assert b'"code":"20000"' in answer.body, method
        assert b"isp.unknow-error" in answer.body
        assert b"KeyError" not in answer.body
        assert [log["method"] for log in logs] == [method]
