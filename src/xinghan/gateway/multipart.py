"""Multipart bodies, read in memory: the request is bounded before they get here."""

import functools
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from xinghan.gateway.errors import invalid_parameter
from xinghan.gateway.model import PARAMETERS_MAX, UploadedFile

if TYPE_CHECKING:  # the library declares this type for type checkers only
    from python_multipart.multipart import MultipartCallbacks

_PART_TYPE_DEFAULT = "text/plain"


def is_multipart(content_type: str) -> bool:
    """Say whether a content type is that of a form with parts."""
    return content_type.lower().startswith("multipart/form-data")


def read_multipart(
    body: bytes, content_type: str
) -> tuple[list[tuple[str, bytes]], tuple[UploadedFile, ...]]:
    """Give the plain fields, with their bytes, and the files of a multipart/form-data body.

    Raises GatewayError for a body that does not follow its own boundary, or has too many parts.
    """
    boundary = content_type_option(content_type, "boundary")
    if not boundary:
        raise _malformed()
    parts = _Parts()
    try:
        parser = MultipartParser(boundary.encode("latin-1"), parts.callbacks())
        parser.write(body)
        parser.finalize()
    except (FormParserError, UnicodeError) as error:
        raise _malformed() from error
    if not parts.complete:
        raise _malformed()
    return parts.fields, tuple(parts.files)


@functools.lru_cache(maxsize=256)
def content_type_option(content_type: str, name: str) -> str:
    """Give an option of a content type, such as its charset; empty when it has none."""
    if ";" not in content_type:
        return ""
    _, options = parse_options_header(content_type)
    return options.get(name.encode("ascii"), b"").decode("latin-1")


class _Parts:
    """Gathers what the parser reports, piece by piece."""

    def __init__(self) -> None:
        self.fields: list[tuple[str, bytes]] = []
        self.files: list[UploadedFile] = []
        self.complete = False
        self._headers: dict[str, bytes] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._content = bytearray()

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": lambda data, start, end: self._content.extend(data[start:end]),
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers = {}
        self._content.clear()

    def _end_header(self) -> None:
        name = bytes(self._header_name).decode("latin-1").lower()
        self._headers[name] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end(self) -> None:
        if len(self.fields) + len(self.files) >= PARAMETERS_MAX:
            raise invalid_parameter(
                f"表单超过 {PARAMETERS_MAX} 个部分", f"there are more than {PARAMETERS_MAX} parts"
            )
        _, options = parse_options_header(self._headers.get("content-disposition"))
        name = options.get(b"name", b"").decode("latin-1")
        if not name.isascii() or not name.isprintable() or not name:
            raise _malformed()
        content = bytes(self._content)
        file_name = options.get(b"filename")
        if file_name is None:
            self.fields.append((name, content))
            return
        part_type = self._headers.get("content-type", b"").decode("latin-1")
        self.files.append(
            UploadedFile(
                name,
                file_name.decode("utf-8", errors="replace"),
                part_type or _PART_TYPE_DEFAULT,
                content,
            )
        )

    def _finish(self) -> None:
        self.complete = True


def _malformed() -> Exception:
    return invalid_parameter("multipart 请求体有误", "the multipart body is malformed")
