"""What passes between the wire and the methods: requests, apps' keys, calls and answers."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from xinghan.gateway.errors import GatewayError
from xinghan.identity import AppCredentials
from xinghan.kit.signing import SignType

ERROR_NODE = "error_response"

REQUEST_BYTES_MAX = 1 << 20
"""The most that a query and a body may hold together."""
PARAMETERS_MAX = 64
PARAMETER_BYTES_MAX = 64 << 10
"""The most that one parameter may hold after percent-decoding; files are bounded by the request."""
CONTENT_DEPTH_MAX = 32

JsonObject = dict[str, object]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as it came: the query and the body still in their bytes.

    `path` has no query and is not percent-decoded: v3 signs it as it was sent. It and the
    headers are text whose characters stand for one byte each; header names are lower case.
    """

    http_method: str
    path: str
    query: bytes
    body: bytes
    headers: Mapping[str, str]

    @property
    def content_type(self) -> str:
        return self.headers.get("content-type", "")


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """One answer, ready to be sent; the headers include the content type."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A file of a multipart request; no signature covers it."""

    name: str
    file_name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A request that may be believed: its signature holds, its content is read.

    `content` is the business content; its numbers with a fraction are `Decimal`. `parameters`
    are all the request's parameters as text, `files` those that came beside them.
    """

    method: str
    app: AppCredentials
    content: JsonObject
    parameters: Mapping[str, str]
    files: tuple[UploadedFile, ...] = ()

    @property
    def notify_url(self) -> str | None:
        return self.parameters.get("notify_url") or None

    @property
    def return_url(self) -> str | None:
        return self.parameters.get("return_url") or None

    @property
    def app_auth_token(self) -> str | None:
        return self.parameters.get("app_auth_token") or None


FindApp = Callable[[str], Awaitable[AppCredentials | None]]
"""Finds an app by its id; None when there is none, or when it may not call."""

MethodHandler = Callable[[Call], Awaitable[Mapping[str, object]]]
"""Runs one call and gives the answer's node (see `envelope.success`), or raises GatewayError."""


@dataclass(frozen=True, slots=True)
class Reply:
    """How a v2 request wants to be answered, as far as it could be read."""

    node_name: str = ERROR_NODE
    charset: str = "utf-8"
    sign_type: SignType = SignType.RSA2
    encrypted: bool = False


class Refusal(Exception):
    """A v2 request that no method saw, with all that is known about how to answer it."""

    def __init__(self, error: GatewayError, reply: Reply, app: AppCredentials | None) -> None:
        super().__init__(str(error))
        self.error = error
        self.reply = reply
        self.app = app
