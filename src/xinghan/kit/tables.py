"""Lists as files: RFC 4180 with a byte order mark, so that spreadsheets read Chinese as it is."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, TypeAlias

from starlette.responses import StreamingResponse

CSV_MEDIA_TYPE: Final = "text/csv"
CSV_CONTENT: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {CSV_MEDIA_TYPE: {"schema": {"type": "string"}}},
        "description": "A page as JSON, or the whole list as CSV.",
    }
}
ROWS_MAX: Final = 100_000
PAGE_ROWS: Final = 500

_BYTE_ORDER_MARK: Final = "\ufeff"
_FORMULA = re.compile(r"[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


FetchRows: TypeAlias = Callable[
    [str | None, int], Awaitable[tuple[Sequence[Sequence[object]], str | None]]
]


async def csv_response(name: str, columns: Sequence[str], fetch: FetchRows) -> StreamingResponse:
    """Give a whole list, page by page, as the file `name`.csv of at most ROWS_MAX rows.

    `fetch` gives the rows of a page, by cursor and number, and the next cursor. The first page is
    fetched before anything is sent, so that what is refused is refused plainly.
    """
    first = await fetch(None, PAGE_ROWS)
    return StreamingResponse(
        _lines(columns, first, fetch),
        media_type=f"{CSV_MEDIA_TYPE}; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Write rows; what a spreadsheet would take for a formula gets an apostrophe."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


async def _lines(
    columns: Sequence[str],
    first: tuple[Sequence[Sequence[object]], str | None],
    fetch: FetchRows,
) -> AsyncIterator[str]:
    yield _BYTE_ORDER_MARK + csv_text([columns])
    rows, cursor = first
    written = 0
    while True:
        yield csv_text(rows)
        written += len(rows)
        if cursor is None or written >= ROWS_MAX:
            return
        rows, cursor = await fetch(cursor, PAGE_ROWS)


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text
