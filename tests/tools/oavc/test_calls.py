"""`oavc demo` and `oavc call`, whole, with a connector of tones in the place of core."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from tests.tools.caller.scripted_agent import ScriptedAgent
from tests.tools.caller.scripted_connector import Behaviour, ScriptedConnector, tone
from tests.tools.caller.test_caller import by_tone
from tests.tools.oavc.fake_core import FakeCore, call, turn
from tools.oavc import demo as demo_command
from tools.oavc.__main__ import main
from tools.oavc.stack import Layout

SCRIPT = """
caller = "5550123"
[[step]]
do = "listen"
expect = "hello"
quiet_ms = 220
[[step]]
do = "say"
text = "When are you open?"
expect = "nine"
quiet_ms = 220
source = "knowledge"
[[step]]
do = "hang_up"
"""
LATER = time.time() + 86_400


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script whose words are tones, for the caller and for the transcriber."""
    path = tmp_path / "call.toml"
    path.write_text(SCRIPT)
    for command in ("demo", "call"):
        monkeypatch.setattr(f"tools.oavc.{command}.render_speeches", lambda _: [b"".join(tone(300, 200))])
    monkeypatch.setattr("tools.oavc.demo.whisper_transcriber", lambda: by_tone)
    monkeypatch.setattr("tools.oavc.call.whisper_transcriber", lambda: by_tone)
    demo_command._transcriber.cache_clear()
    return path


class FakeStack:
    """The four processes: a connector of tones, and the account it would give of the call."""

    behaviour = Behaviour()

    def __init__(self, layout: Layout, *, for_calls: bool) -> None:
        assert for_calls
        self._layout = layout
        self.startup_s = {"core": 0.5, "asr": 1.0}
        self._opened = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def ready(self) -> None:
        environ = self._layout.environ
        transports = environ["TRANSPORTS"].split(",")
        if "opensips" in transports:
            connector = ScriptedConnector(int(environ["MI_PORT"]), self.behaviour)
            await self._opened.enter_async_context(connector)
        if "twilio" in transports:
            agent = ScriptedAgent(self.behaviour, environ["TWILIO_AUTH_TOKEN"], self._layout.management_port)
            await self._opened.enter_async_context(agent)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opened.aclose()

    def rss_mb(self) -> dict[str, float]:
        return {"core": 100.0, "asr": 200.0}


@pytest.fixture
def stack(monkeypatch: pytest.MonkeyPatch) -> FakeCore:
    core = FakeCore()
    turns = [turn("", "Hello."), turn("when are you open", "We open at nine.")]
    core.recent = [
        call("5550123", turns, started_at=LATER, ended_at=LATER, transport=transport)
        for transport in ("opensips", "twilio")
    ]

    class Management:
        def __init__(self, _url: str) -> None:
            pass

        async def find(self, caller: str, since: float, transport: str | None) -> Any:
            from tools.caller.agent_account import _account

            calls = [_account(each) for each in core.recent if each["caller"] == caller]
            return next((each for each in calls if each.transport == transport), None)

    monkeypatch.setattr("tools.oavc.demo.Stack", FakeStack)
    monkeypatch.setattr("tools.oavc.demo.Management", Management)
    FakeStack.behaviour = Behaviour()
    return core


def demo(script: Path, output: Path, *more: str) -> int:
    return main(["demo", "--script", str(script), "--output", str(output), *more])


def read(path: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return body


def test_demo_writes_its_report_and_recording_and_ends_well(
    script: Path, stack: FakeCore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(script, tmp_path / "demo") == 0
    body = read(tmp_path / "demo/report.json")
    assert body["ok"] is True
    assert body["startup_s"] == {"core": 0.5, "asr": 1.0}
    assert body["rss_mb"] == {"core": 100.0, "asr": 200.0}
    (only,) = body["turns"]
    assert only["heard"] == "when are you open"
    assert only["agent_heard_as"] == "We open at nine."
    assert only["source"] == "knowledge"
    assert (tmp_path / "demo/call.wav").stat().st_size > 8000
    shown = capsys.readouterr().out
    assert "caller  When are you open?" in shown
    assert "agent   We open at nine." in shown
    assert "OK: every question was answered rightly" in shown


def test_repeated_demo_adds_medians(
    script: Path, stack: FakeCore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(script, tmp_path, "--repeat", "2") == 0
    body = read(tmp_path / "report.json")
    assert len(body["calls"]) == 2
    assert body["medians"]["voice_to_voice_ms"] > 0
    assert (tmp_path / "call-2.wav").exists()
    assert "medians of 2 calls" in capsys.readouterr().out


def test_demo_comes_in_by_twilio(
    script: Path, stack: FakeCore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(script, tmp_path, "--transport", "twilio") == 0
    body = read(tmp_path / "report.json")
    assert (body["ok"], body["transport"], body["lead"]["gaps"]) == (True, "twilio", 0)
    assert (tmp_path / "call.wav").exists()
    assert "ran dry 0 times while the agent spoke" in capsys.readouterr().out


def test_demo_of_both_places_two_calls_at_once_and_tells_them_apart(
    script: Path, stack: FakeCore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo(script, tmp_path, "--transport", "both", "--repeat", "2") == 0
    body = read(tmp_path / "report.json")
    assert body["ok"] is True
    assert [each["transport"] for each in body["calls"]] == ["opensips", "twilio"] * 2
    assert body["medians"].keys() == {"opensips", "twilio"}
    names = {path.name for path in tmp_path.glob("*.wav")}
    assert names == {"call.wav", "call-twilio.wav", "call-2.wav", "call-twilio-2.wav"}
    shown = capsys.readouterr().out
    assert "opensips   caller  When are you open?" in shown
    assert "twilio     agent   We open at nine." in shown
    assert "medians of 2 calls by twilio" in shown


def test_demo_of_both_needs_both_to_be_right(script: Path, stack: FakeCore, tmp_path: Path) -> None:
    stack.recent = [each for each in stack.recent if each["transport"] == "opensips"]
    turns = [turn("when are you open", "We open at nine.", source="model")]
    stack.recent.append(call("5550123", turns, started_at=LATER, ended_at=LATER, transport="twilio"))
    assert demo(script, tmp_path, "--transport", "both") == 1
    first, second = read(tmp_path / "report.json")["calls"]
    assert (first["ok"], second["ok"]) == (True, False)


def test_demo_with_a_wrong_answer_ends_with_a_clear_line(
    script: Path, stack: FakeCore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text(SCRIPT.replace('"nine"', '"ten"'))
    assert demo(script, tmp_path) == 1
    assert read(tmp_path / "report.json")["ok"] is False
    told = capsys.readouterr().err
    assert "not right in call 1 of 1: 'When are you open?': the answer lacks 'ten': heard 'We open at nine.'" in told


def test_demo_without_the_cores_account_is_not_ok(
    script: Path, stack: FakeCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.oavc.live._ENDED_TIMEOUT_S", 0.2)
    stack.recent = []
    assert demo(script, tmp_path) == 1
    assert read(tmp_path / "report.json")["problems"] == ["core's management interface has no account of the call"]


def test_demo_with_a_script_that_cannot_be_played(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text('[[step]]\ndo = "sing"\n')
    assert demo(script, tmp_path) == 2
    assert "step 1: Input tag 'sing'" in capsys.readouterr().err


@contextlib.contextmanager
def running_connector(mi_port: int) -> Iterator[None]:
    """A connector in a thread of its own, which asks for calls until OpenSIPS is there, as core does."""
    loop = asyncio.new_event_loop()
    ended = asyncio.Event()

    async def serve() -> None:
        async with ScriptedConnector(mi_port) as connector:
            while not ended.is_set():
                connector.subscribe()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(ended.wait(), 0.1)

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def place(script: Path, output: Path, mi_port: int, *more: str) -> int:
    management = ["--management", "http://127.0.0.1:1"]
    return main(
        ["call", "--script", str(script), "--output", str(output), "--mi-port", str(mi_port), *management, *more]
    )


def test_calls_are_placed_to_a_running_core(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], free_udp_port: int
) -> None:
    with running_connector(free_udp_port):
        assert place(script, tmp_path, free_udp_port, "--calls", "3", "--rate", "20") == 0
    assert "3 of 3 calls went well" in capsys.readouterr().out
    body = read(tmp_path / "report.json")
    assert [len(each["turns"]) for each in body["calls"]] == [1, 1, 1]
    assert all((tmp_path / f"call-{number}.wav").exists() for number in (1, 2, 3))


def test_one_call_may_go_unjudged(
    script: Path, tmp_path: Path, free_udp_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.oavc.live._ENDED_TIMEOUT_S", 0.2)
    script.write_text(SCRIPT.replace('"nine"', '"ten"'))
    with running_connector(free_udp_port):
        assert place(script, tmp_path, free_udp_port, "--unjudged") == 0
        assert place(script, tmp_path, free_udp_port) == 1


def test_place_of_opensips_that_is_taken_is_told(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], taken_udp_port: int
) -> None:
    assert place(script, tmp_path, taken_udp_port) == 1
    assert f"127.0.0.1:{taken_udp_port}/udp is taken" in capsys.readouterr().err


def test_core_that_does_not_run_is_told(
    script: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    free_udp_port: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tools.oavc.call._SUBSCRIBED_TIMEOUT_S", 0.1)
    assert place(script, tmp_path, free_udp_port) == 1
    assert "no core asked for calls" in capsys.readouterr().err


@contextlib.contextmanager
def running_agent(auth_token: str) -> Iterator[str]:
    """An agent of Twilio's in a thread of its own; its URL."""
    loop = asyncio.new_event_loop()
    agent = ScriptedAgent(auth_token=auth_token)
    loop.run_until_complete(agent.__aenter__())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield agent.address.url
    finally:
        asyncio.run_coroutine_threadsafe(agent.__aexit__(None, None, None), loop).result(5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def test_calls_are_placed_by_twilio_to_a_running_core(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC" + "1" * 32)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "2" * 32)
    with running_agent("2" * 32) as url:
        options = ["--script", str(script), "--output", str(tmp_path), "--calls", "2", "--rate", "20"]
        assert main(["call", "--transport", "twilio", "--management", url, *options]) == 0
    assert "2 of 2 calls went well" in capsys.readouterr().out
    assert {each["transport"] for each in read(tmp_path / "report.json")["calls"]} == {"twilio"}


def test_calls_by_twilio_need_the_accounts_token(
    script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TWILIO_AUTH_TOKEN", raising=False)
    assert place(script, tmp_path, 1, "--transport", "twilio") == 2
    assert "TWILIO_AUTH_TOKEN" in capsys.readouterr().err


def test_calls_by_twilio_to_nobody_fail(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.oavc.live._ENDED_TIMEOUT_S", 0.2)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN", "2" * 32)
    assert place(script, tmp_path, 1, "--transport", "twilio") == 1
    assert "the call was refused" in read(tmp_path / "report.json")["problems"][0]


@pytest.mark.parametrize("options", [("--calls", "0"), ("--rate", "0")])
def test_impossible_numbers_are_refused(script: Path, tmp_path: Path, options: tuple[str, str]) -> None:
    assert place(script, tmp_path, 1, *options) == 2
