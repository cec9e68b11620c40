"""The one tool that an operator declares: a request to a server of theirs."""

import json
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args
from urllib.parse import quote, urlencode, urlsplit

import pydantic

from core.dialogue.settings import ToolName
from core.dialogue.tool_arguments import ArgumentError, Value, check_schema
from core.providers.base import Tool
from services.common.settings import Section, key

NO_PARAMETERS = '{"type": "object", "properties": {}}'
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
# A segment of this name leads elsewhere on the server (RFC 3986 5.2.4).
_DOT_SEGMENTS = frozenset({".", ".."})


class HttpToolSettings(Section):
    """What the model is told of the tool, and where its calls go."""

    section: ClassVar[str] = "http_tool"
    name: str = key(
        "",
        pattern=r"^[A-Za-z0-9_-]{0,64}$",
        help="Name of a tool of your own, as the model sees it; empty: there is none",
    )
    description: str = key("", max_length=1000, help="What it does and when to use it, for the model")
    url: str = key("", help="http or https address; {argument} in its path or query stands for an argument")
    method: Literal["GET", "POST"] = key(
        "GET", help="GET puts arguments that the address does not name into its query, POST all into a JSON body"
    )
    parameters: str = key(NO_PARAMETERS, help="Its arguments: JSON Schema of a flat object")
    header: str = key("Authorization", pattern=r"^[A-Za-z0-9-]+$", help="Header that the token is sent in")
    token: pydantic.SecretStr | None = key(
        None,
        env="HTTP_TOOL_TOKEN",
        secret=True,
        help="Token; in an Authorization header it follows the word Bearer",
    )
    timeout_s: float = key(3.0, unit="s", gt=0, le=10, help="Longest wait for the whole answer of the server")
    max_response_bytes: int = key(4096, unit="bytes", ge=1, le=65536, help="Longest answer; a longer one is a failure")

    @pydantic.model_validator(mode="after")
    def _check(self) -> "HttpToolSettings":
        if not self.name and not self.url:
            return self
        if not (self.name and self.url and self.description):
            raise ValueError("name, description and url are needed together")
        if self.name in get_args(ToolName):
            raise ValueError(f"the name {self.name!r} is taken by a tool of ours")
        if self.token is not None and not re.fullmatch(r"[\x21-\x7e][\x20-\x7e]*", self.token.get_secret_value()):
            raise ValueError("the token must be printable ASCII on one line")
        try:
            schema = json.loads(self.parameters)
        except ValueError as error:
            raise ValueError(f"parameters are not JSON: {error}") from error
        try:
            check_schema(schema)
        except ValueError as error:
            raise ValueError(f"parameters: {error}") from error
        self._check_url(schema)
        return self

    def _check_url(self, schema: Mapping[str, Any]) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            raise ValueError("url must be an http or https address without a user name")
        if "{" in parts.netloc or parts.fragment:
            raise ValueError("url may name arguments in its path and query only")
        unknown = [name for name in self._named_in_url if name not in schema.get("required", ())]
        if unknown:
            raise ValueError(f"url names {unknown[0]!r}, which is no required parameter")

    @property
    def declared(self) -> Tool:
        """The tool as a model is shown it."""
        return Tool(self.name, self.description, json.loads(self.parameters))

    @property
    def _named_in_url(self) -> list[str]:
        return _PLACEHOLDER.findall(self.url)

    def address(self, arguments: Mapping[str, Value]) -> str:
        """Where a call with these arguments goes, percent-encoded.

        Raises:
            ArgumentError: one would lead elsewhere on the server.
        """
        named = {name: _text(arguments[name]) for name in self._named_in_url}
        if any(not text or text in _DOT_SEGMENTS for text in named.values()):
            raise ArgumentError("An argument is empty or not allowed.")
        address = _PLACEHOLDER.sub(lambda match: quote(named[match[1]], safe=""), self.url)
        rest = {name: _text(value) for name, value in arguments.items() if name not in named}
        if self.method == "POST" or not rest:
            return address
        return f"{address}{'&' if urlsplit(address).query else '?'}{urlencode(rest, quote_via=quote)}"


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
