"""Lists as files: quoting, formulas, and lists of many pages."""

from collections.abc import Sequence

import pytest

from xinghan.kit import tables
from xinghan.kit.tables import csv_response, csv_text


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("tea", "tea"),
        ("红茶, “好”", '"红茶, “好”"'),
        ('a"b', '"a""b"'),
        ("two\nlines", '"two\nlines"'),
        (None, ""),
        (-12, "-12"),
        ("-3.50", "-3.50"),
        ("=1+1", "'=1+1"),
        ("+tel", "'+tel"),
        ("-a", "'-a"),
        ("@sum", "'@sum"),
        ("\t=1", "'\t=1"),
    ],
)
def test_a_cell_is_quoted_and_never_a_formula(value: object, cell: str) -> None:
    assert csv_text([[value, 1]]) == f"{cell},1\r\n"


async def test_a_list_is_written_page_by_page_up_to_its_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tables, "ROWS_MAX", 3)
    asked: list[str | None] = []

    async def fetch(cursor: str | None, limit: int) -> tuple[Sequence[Sequence[object]], str]:
        asked.append(cursor)
        return [[len(asked)], [limit]], f"after {len(asked)}"

    answer = await csv_response("list", ["n"], fetch)
    text = "".join([str(part) async for part in answer.body_iterator])
    assert text == "\ufeffn\r\n1\r\n500\r\n2\r\n500\r\n"
    assert asked == [None, "after 1"]
    assert answer.headers["content-disposition"] == 'attachment; filename="list.csv"'
