"""The operator's tool: what may be declared, and where its calls go."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.tool_arguments import ArgumentError
from services.common.settings import ConfigurationError, effective, load

SCHEMA = """{
  "type": "object",
  "properties": {"order": {"type": "string"}, "zip": {"type": "string"}, "express": {"type": "boolean"}},
  "required": ["order"]
}"""
DECLARED = {
    "name": "order_status",
    "description": "Says where an order is.",
    "url": "https://shop.example.com/orders/{order}",
    "parameters": SCHEMA,
}


def _settings(**changes: Any) -> HttpToolSettings:
    return HttpToolSettings.model_validate(DECLARED | changes)


def test_it_is_declared_as_the_file_says() -> None:
    tool = _settings().declared

    assert (tool.name, tool.description) == ("order_status", "Says where an order is.")
    assert tool.parameters["required"] == ["order"]


def test_nothing_is_declared_by_default() -> None:
    assert HttpToolSettings().name == ""


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": ""}, "needed together"),
        ({"url": ""}, "needed together"),
        ({"description": ""}, "needed together"),
        ({"name": "hang_up"}, "taken"),
        ({"name": "order status"}, "pattern"),
        ({"method": "DELETE"}, "GET"),
        ({"parameters": "{"}, "JSON"),
        ({"parameters": '{"type": "array"}'}, "object"),
        ({"url": "ftp://example.com/{order}"}, "http"),
        ({"url": "https://me:secret@example.com/{order}"}, "user name"),
        ({"url": "https://{order}.example.com/"}, "path and query"),
        ({"url": "https://example.com/{zip}"}, "required"),
        ({"url": "https://example.com/{colour}"}, "required"),
        ({"token": "two\r\nlines"}, "one line"),
        ({"header": "X-Key: a"}, "pattern"),
        ({"timeout_s": 60}, "less"),
    ],
)
def test_what_cannot_work_stops_the_start(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        _settings(**changes)


def test_a_declaration_over_several_lines_loads_and_its_token_is_not_shown(tmp_path: Any) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    loaded = load([HttpToolSettings], {"http_tool": DECLARED | {"token": f"file:{tmp_path}/token"}}, {})

    token = loaded[HttpToolSettings].token
    assert token is not None
    assert token.get_secret_value() == "s3cret"
    assert "s3cret" not in effective(loaded)


def test_a_bad_token_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load([HttpToolSettings], {"http_tool": dict(DECLARED)}, {"HTTP_TOOL_TOKEN": "s3\x01cret"})

    assert "s3" not in str(caught.value)


def test_what_the_address_does_not_name_goes_into_the_query() -> None:
    address = _settings().address({"order": "4711", "zip": "10 115&x=1", "express": True})

    assert urlsplit(address).path == "/orders/4711"
    assert parse_qs(urlsplit(address).query) == {"zip": ["10 115&x=1"], "express": ["true"]}


def test_a_query_of_the_address_is_kept() -> None:
    settings = _settings(url="https://shop.example.com/find?key=1&order={order}")

    assert settings.address({"order": "a b", "zip": "1"}) == "https://shop.example.com/find?key=1&order=a%20b&zip=1"


def test_arguments_of_a_post_stay_out_of_the_address() -> None:
    assert _settings(method="POST").address({"order": "1", "zip": "2"}) == "https://shop.example.com/orders/1"


@pytest.mark.parametrize("order", ["", ".", ".."])
def test_no_argument_leads_elsewhere_on_the_server(order: str) -> None:
    with pytest.raises(ArgumentError):
        _settings().address({"order": order})


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_whatever_the_argument_the_request_stays_where_it_belongs(order: str) -> None:
    try:
        parts = urlsplit(_settings().address({"order": order}))
    except ArgumentError:
        return
    assert parts.netloc == "shop.example.com"
    assert parts.path.startswith("/orders/")
    assert parts.path.count("/") == 2
    assert not parts.query
    assert not parts.fragment
