"""What clients send, checked and given its defaults."""

import pytest

from services.llm import requests
from services.llm.engine import Message, Sampling
from services.llm.requests import BadRequest
from services.llm.tests.factories import make_settings
from voice_api.llm_pb2 import Message as WireMessage
from voice_api.llm_pb2 import TextProcessingRequest

SETTINGS = make_settings(seed=7)


def test_unset_parameters_take_the_promised_defaults() -> None:
    request = TextProcessingRequest(text="Hi")
    assert requests.sampling(request, SETTINGS) == Sampling(0.2, 0.9, 1.1, seed=7)
    assert requests.max_tokens(request, 512) == 80
    assert requests.max_tokens(request, 50) == 50


def test_set_parameters_are_taken_even_when_zero() -> None:
    request = TextProcessingRequest(temperature=0, top_p=1, repeat_penalty=1, max_tokens=3)
    assert requests.sampling(request, SETTINGS) == Sampling(0, 1, 1, seed=7)
    assert requests.max_tokens(request, 512) == 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -0.1),
        ("temperature", 2.1),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_p", float("inf")),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", float("-inf")),
        ("repeat_penalty", 2.5),
    ],
)
def test_absurd_number_is_refused_by_name(name: str, value: float) -> None:
    request = TextProcessingRequest()
    setattr(request, name, value)
    with pytest.raises(BadRequest, match=name):
        requests.sampling(request, SETTINGS)


@pytest.mark.parametrize("wanted", [-1, 513])
def test_absurd_max_tokens_is_refused(wanted: int) -> None:
    with pytest.raises(BadRequest, match="1 to 512"):
        requests.max_tokens(TextProcessingRequest(max_tokens=wanted), 512)


@pytest.mark.parametrize("stop", [[""], ["x" * 65], ["x"] * 17])
def test_absurd_stop_strings_are_refused(stop: list[str]) -> None:
    with pytest.raises(BadRequest, match="stop string"):
        requests.stop_strings(TextProcessingRequest(stop=stop))


def test_usual_stop_strings_are_taken() -> None:
    assert requests.stop_strings(TextProcessingRequest(stop=["\n", "User:"])) == ("\n", "User:")


def test_session_id_is_bounded_and_sometimes_required() -> None:
    assert requests.session_id("") == ""
    with pytest.raises(BadRequest, match="empty"):
        requests.session_id("", required=True)
    with pytest.raises(BadRequest, match="300 characters"):
        requests.session_id("x" * 300)


def test_messages_are_converted() -> None:
    wire = [WireMessage(role="user", content="Hi")]
    assert requests.messages(wire, context_tokens=10) == [Message("user", "Hi")]


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        ([WireMessage(role="user")] * 257, "at most 256"),
        ([WireMessage(role="user"), WireMessage(role="tool")], r"messages\[1\].role .* not 'tool'"),
        ([WireMessage(role="user", content="x" * 1600)], "1601 characters"),
    ],
)
def test_absurd_messages_are_refused(wire: list[WireMessage], reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        requests.messages(wire, "!", context_tokens=100)
