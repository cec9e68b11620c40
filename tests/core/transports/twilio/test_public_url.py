"""Signatures are made over the address that Twilio used: it is found again behind any proxy."""

from collections.abc import Mapping

import pytest
from aiohttp.test_utils import make_mocked_request

from core.transports.twilio.public_url import PublicUrl

FORWARDED = {
    "Host": "core:8080",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "voice.example.com",
    "X-Forwarded-Prefix": "/oavc/",
}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Host": "127.0.0.1:8080"}, "http://127.0.0.1:8080/twilio/voice?a=b%20c"),
        (FORWARDED, "https://voice.example.com/oavc/twilio/voice?a=b%20c"),
        (
            {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "outer.example.com, inner"},
            "https://outer.example.com/twilio/voice?a=b%20c",
        ),
        ({"Host": "h", "X-Forwarded-Proto": "wss"}, "https://h/twilio/voice?a=b%20c"),
    ],
)
def test_proxies_say_what_was_asked_for(headers: Mapping[str, str], expected: str) -> None:
    request = make_mocked_request("POST", "/twilio/voice?a=b%20c", headers=headers)
    assert PublicUrl.of(request).requested(request) == expected


@pytest.mark.parametrize("path", ["/oavc/twilio/voice?x=1", "/twilio/voice?x=1"])
def test_public_url_holds_whether_or_not_its_prefix_was_taken_away(path: str) -> None:
    request = make_mocked_request("POST", path, headers=FORWARDED | {"X-Forwarded-Host": "forged.example.com"})
    public = PublicUrl.parse("https://voice.example.com/oavc/")
    assert public.requested(request) == "https://voice.example.com/oavc/twilio/voice?x=1"


def test_sockets_are_as_secure_as_webhooks() -> None:
    assert PublicUrl.parse("https://a.example/p").web_socket("/twilio/stream/t") == "wss://a.example/p/twilio/stream/t"
    assert PublicUrl.parse("http://127.0.0.1:1").web_socket("/s") == "ws://127.0.0.1:1/s"
