"""Whatever anybody sends, as described or not: no 5xx, and every answer conforms."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from browser.site import Site, open_site

EXAMPLES_PER_OPERATION = 15
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
)
BOUNDED = settings(
    max_examples=EXAMPLES_PER_OPERATION,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@contextmanager
def served(database_url: str, data: Path) -> Iterator[Site]:
    """Serve from a thread, because Schemathesis asks synchronously."""
    sites: list[Site] = []
    ready, loop = threading.Event(), asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        try:
            async with open_site(database_url, data) as site:
                sites.append(site)
                ready.set()
                await done.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    try:
        ready.wait()
        yield sites[0]
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join()
        loop.close()


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_answer_conforms(database_url: str, tmp_path: Path, mode: GenerationMode) -> None:
    with served(database_url, tmp_path) as site:
        headers = {"Authorization": f"Bearer {site.token}"}
        described = schemathesis.openapi.from_url(f"{site.url}/api/v1/openapi.json")
        operations = [result.ok() for result in described.get_all_operations()]
        assert len(operations) >= 16
        for operation in operations:

            @given(operation.as_strategy(generation_mode=mode))
            @BOUNDED
            def conforms(case: Case) -> None:
                case.call_and_validate(
                    base_url=f"{site.url}/api/v1", headers=headers, checks=CHECKS
                )

            # An operation without parameters has nothing that could be wrong.
            with suppress(Unsatisfiable):
                conforms()
