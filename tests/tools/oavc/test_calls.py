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
        mi_port = int(self._layout.environ["MI_PORT"])
        await self._opened.enter_async_context(ScriptedConnector(mi_port, self.behaviour))

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
    core.recent = [call("5550123", turns, started_at=LATER, ended_at=LATER)]

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


@pytest.mark.parametrize("options", [("--calls", "0"), ("--rate", "0")])
def test_impossible_numbers_are_refused(script: Path, tmp_path: Path, options: tuple[str, str]) -> None:
    assert place(script, tmp_path, 1, *options) == 2
