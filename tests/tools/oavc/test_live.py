"""What people see of a call while it is up, and after it."""

import asyncio

import pytest

from tests.tools.caller.test_report import record, report, words
from tests.tools.oavc.fake_core import FakeCore, call, serving, turn
from tools.caller.agent_account import Management
from tools.caller.report import report_call
from tools.oavc.live import LiveConversation, describe_stages
from tools.oavc.summary import describe_call, describe_calls, describe_medians


async def until_shown(capsys: pytest.CaptureFixture[str], text: str) -> str:
    shown = ""
    async with asyncio.timeout(5):
        while text not in shown:
            await asyncio.sleep(0.02)
            shown += capsys.readouterr().out
    return shown


async def test_turns_are_shown_once_complete_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    core = FakeCore()
    async with serving(core) as url:
        live = LiveConversation(Management(url), "555")
        following = asyncio.create_task(live.follow())
        live.picked_up(1.5)
        growing = turn("when are you open", "From nine", spoken="From")
        core.active = [call("555", [turn("", "Hello."), growing])]
        shown = await until_shown(capsys, "Hello.")
        assert "answered after 1.5 ms" in shown
        assert "From nine" not in shown
        growing |= {"said": "From nine to six.", "spoken": "From nine to six."}
        shown = await until_shown(capsys, "From nine to six.")
        assert "knowledge, 490 ms = endpoint 400 + recognition 90" in shown
        live.caller_says(1, "And Sunday?")
        assert "caller  And Sunday?" in capsys.readouterr().out
        following.cancel()


async def test_interrupted_turn_shows_what_was_heard(capsys: pytest.CaptureFixture[str]) -> None:
    core = FakeCore()
    turns = [turn("more", "We clean the bike.", spoken="We clean", interrupted_at=1.0), turn("stop", "", spoken="")]
    core.recent = [call("555", turns, ended_at=2.0)]
    async with serving(core) as url:
        live = LiveConversation(Management(url), "555")
        account = await live.finish()
    assert account is not None
    assert account.ended
    shown = capsys.readouterr().out
    assert "We clean (interrupted)" in shown
    assert "We clean the bike." not in shown
    assert "agent   (nothing)" in shown


async def test_core_that_does_not_answer_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tools.oavc.live._ENDED_TIMEOUT_S", 0.2)
    assert await LiveConversation(Management("http://127.0.0.1:1"), "555").finish() is None


def test_turn_without_audio_has_no_stages() -> None:
    assert describe_stages({}) == "no audio"
    assert describe_stages({"endpoint": 1.0, "playout": 2.0}) == "3 ms = endpoint 1 + playout 2"


def test_summary_has_every_figure_and_the_verdict() -> None:
    text = "\n".join(describe_call(report()))
    for part in (
        "median 320 ms",
        "40.0 ms to the reply, greeting heard 50 ms later",
        "silent 220 ms after the caller began, 20 ms after the decision",
        "200 sent, 200 received, 0 lost",
        "400 MB: core 150, asr 250",
        "core 1.2 s",
        "OK: every question was answered rightly",
    ):
        assert part in text


def test_summary_of_a_call_that_nobody_listened_to_says_so() -> None:
    unjudged = describe_call(report_call(record(), None, None))
    assert unjudged[-1] == "  OK: every question was answered; with what, was not judged"


def test_summary_of_a_bad_call_names_each_problem() -> None:
    bad = record()
    bad.failures += ["first", "second"]
    lines = describe_call(report_call(bad, None, words))
    assert lines[-2:] == ["  FAILED: first", "  FAILED: second"]
    assert any("- after the decision" in line for line in lines)


def test_summary_of_many_calls_has_their_spread() -> None:
    text = "\n".join(describe_calls([report(), report()]))
    assert "2 of 2 calls went well" in text
    assert "voice to voice ms       220.0    420.0    420.0" in text
    assert "400 received, 0 lost" in text


def test_medians_are_one_line() -> None:
    (line,) = describe_medians([report(), report()])
    assert line.startswith("  medians of 2 calls: voice_to_voice_ms 320, onset_to_silence_ms 220")
