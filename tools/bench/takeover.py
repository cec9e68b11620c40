"""From the failure of the first language model to the words of the second: `python -m tools.bench.takeover`.

The first is a process that is killed (SIGKILL) or stopped (SIGSTOP: it hangs, its connections stay); the second the
project's own service. The clock starts before the signal is sent, and stops with the first packet in which the caller
hears the second; nothing else is said meanwhile.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from core.dialogue.settings import DialogueSettings
from core.providers.settings import LlmSettings
from tools.bench.failing_model import ASKED, PORT, WORDS
from tools.bench.figures import FOLDER, Report, conditions, spread, write
from tools.bench.tables import takeover_table
from tools.caller.agent_account import AgentTurn, Management
from tools.caller.batch import render_speeches
from tools.caller.line import PlacedCall
from tools.caller.opensips import OpenSipsStandIn
from tools.caller.script import CallScript, HangUp, Say
from tools.caller.sip_line import SipLine
from tools.caller.wire import Wire
from tools.oavc import layouts
from tools.oavc.child import Child
from tools.oavc.console import tell
from tools.oavc.stack import LOG_FOLDER, Layout, Stack

REPETITIONS = 7
QUESTION = "What should I wear in the rain?"
FIRST_WORDS = "Let me think about that. "
# The first model is asked each time, nothing is said to pass the time, and answers are short; all else as installed.
_CONFIGURATION = """
[llm]
temperature = 0
max_tokens = 24
breaker_failures = 100

[dialogue]
idle_timeout_s = 0
filler_message =

[session]
welcome_message = Hello.
system_prompt = You are the receptionist of a bicycle shop. Answer the caller's question in one short sentence.
"""
_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
# So long after the first model's clause it is over, and the caller waits for more.
_QUIET_S = 0.3
# So long after the caller's last word the turn has ended.
_TURN_OVER_S = 0.8
_PATIENCE_S = 15.0
_SUBSCRIBED_S = 30.0
_POLL_S = 0.005
_LOOK_S = 0.1
# Core looks every second whether a server that was away is back.
_KNOWN_S = 1.5
_APOLOGY = DialogueSettings().apology_message


@dataclass(frozen=True, slots=True)
class Failure:
    """One way to fail.

    Attributes:
        words: what the first model says before.
    """

    name: str
    signal: signal.Signals
    words: str


FAILURES = (
    Failure("killed in mid-answer", signal.SIGKILL, FIRST_WORDS),
    Failure("killed before its first word", signal.SIGKILL, ""),
    Failure("hangs in mid-answer", signal.SIGSTOP, FIRST_WORDS),
    Failure("hangs before its first word", signal.SIGSTOP, ""),
)


class FailingModel:
    """The first model's process; each start is a new one, on the same port."""

    def __init__(self, port: int, log: Path) -> None:
        self._port = port
        self._child = Child("first model", "tools.bench.failing_model", log, self._listens)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self._port}"

    async def start(self, words: str) -> None:
        await self._child.start({**os.environ, PORT: str(self._port), WORDS: words})
        await self._child.wait_ready(_PATIENCE_S)

    def asked(self) -> bool:
        """Whether it was asked anything since it was started."""
        return ASKED in self._child.log_path.read_text(encoding="utf-8").split()

    def fail(self, number: signal.Signals) -> None:
        assert self._child.pid is not None
        os.kill(self._child.pid, number)

    async def stop(self) -> None:
        """A stopped process takes no SIGTERM."""
        if self._child.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._child.pid, signal.SIGKILL)
        await self._child.stop(1.0)

    async def _listens(self) -> str:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            return "it does not listen"
        writer.close()
        return ""


@dataclass(frozen=True)
class Bench:
    """What calls go through."""

    line: SipLine
    management: Management
    model: FailingModel
    script: CallScript
    speech: bytes

    async def takeover(self, failure: Failure, number: int) -> tuple[float, AgentTurn]:
        """Milliseconds from the failure to the second model's first audio; core's account of the answer."""
        await self.model.start(failure.words)
        try:
            await asyncio.sleep(_KNOWN_S)
            since, caller = time.time() - 1, f"55503{number:02}"
            call = await self.line.dial(self.script, caller, "reception", number)
            try:
                await call.answered(_PATIENCE_S)
                await _until(lambda: call.ear.began_after(0) and _quiet(call), "the greeting is over")
                call.say(self.speech, 0)
                await _until(lambda: not call.busy, "the caller has spoken")
                await self._moment(call, failure)
                failed_ns = time.time_ns()
                self.model.fail(failure.signal)
                await _until(lambda: call.ear.began_after(failed_ns) is not None, "the second model is heard")
                began_ns = call.ear.began_after(failed_ns)
                assert began_ns is not None
                return (began_ns - failed_ns) / _NS_PER_MS, await self._answer(caller, since)
            finally:
                await call.hang_up()
                await call.close()
        finally:
            await self.model.stop()

    async def _moment(self, call: PlacedCall, failure: Failure) -> None:
        """Returns when it is time to fail."""
        await _until(self.model.asked, "the first model is asked")
        said_ns = call.trace.last_audible_ns(0)
        assert said_ns is not None
        if failure.words:
            await _until(lambda: call.ear.began_after(said_ns) is not None, "the first model is heard")
            await _until(lambda: _quiet(call), "its first clause is over")
        else:
            await asyncio.sleep(_TURN_OVER_S - (time.time_ns() - said_ns) / _NS_PER_S)

    async def _answer(self, caller: str, since: float) -> AgentTurn:
        """Core's account of it, once the caller has heard it out."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                account = await self.management.find(caller, since)
                answers = [turn for turn in account.turns if turn.heard and turn.spoken] if account else []
                if answers:
                    return answers[0]
                await asyncio.sleep(_LOOK_S)


async def measure(repetitions: int, failures: Sequence[Failure] = FAILURES, *, scripted: bool = False) -> Report:
    """Each failure so often; `scripted` puts a voice and a second model without engines in the place of the services.

    Raises:
        StartFailed: a process did not get ready.
        SpeechError: the caller's words cannot be rendered.
        TimeoutError: nobody took over.
    """
    report = conditions() | {"budget_ms": LlmSettings().budget_ms, "runs": []}
    async with _opened(scripted=scripted) as bench:
        for failure in failures:
            taken = [await bench.takeover(failure, number) for number in range(repetitions)]
            answers = [turn for _, turn in taken]
            report["runs"].append(
                {
                    "failure": failure.name,
                    "hangs": failure.signal is signal.SIGSTOP,
                    "calls": len(taken),
                    "first_audio_ms": spread([took_ms for took_ms, _ in taken]),
                    "begun_by_the_first": sum(turn.said.startswith(FIRST_WORDS.strip()) for turn in answers),
                    "ended_by_the_second": sum(_ended(turn, failure) for turn in answers),
                    "answers": [turn.spoken for turn in answers],
                }
            )
    return report


def _ended(turn: AgentTurn, failure: Failure) -> bool:
    """Whether words of the second model were the last that the caller heard."""
    return len(turn.spoken) > len(failure.words) and _APOLOGY not in turn.spoken


@contextlib.asynccontextmanager
async def _opened(*, scripted: bool) -> AsyncIterator[Bench]:
    script = CallScript(step=(Say(do="say", text=QUESTION), HangUp(do="hang_up")))
    (speech,) = render_speeches(script)
    async with contextlib.AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        config = folder / "app.ini"
        config.write_text(_CONFIGURATION, encoding="utf-8")
        opensips = OpenSipsStandIn()
        await opensips.start()
        opened.push_async_callback(opensips.stop)
        model = FailingModel(_free_port(), folder / "first-model.log")
        layout = _layout(config, opensips.mi_port, model, scripted=scripted)
        await model.start("")
        opened.push_async_callback(model.stop)
        stack = await opened.enter_async_context(Stack(layout, for_calls=True, log_folder=LOG_FOLDER / "bench"))
        await stack.ready()
        await opensips.wait_subscribed(_SUBSCRIBED_S)
        await model.stop()
        wire = opened.enter_context(Wire())
        yield Bench(SipLine(opensips, wire), Management(layout.management_url), model, script, speech)


def _layout(config: Path, mi_port: int, model: FailingModel, *, scripted: bool) -> Layout:
    """The stack as installed, with the failing model before its own."""
    layout = layouts.private(config, mi_port)
    second = "scripted" if scripted else "grpc"
    environ = {**layout.environ, "LLM_PROVIDER": f"llama_ws, {second}", "LLAMA_URL": model.url}
    if not scripted:
        return replace(layout, environ=environ)
    # A service on another machine is left alone.
    services = {name: ("unused.invalid", port) for name, (_, port) in layout.services.items()}
    return replace(layout, services=services, environ={**environ, "ASR_PROVIDER": second, "TTS_PROVIDER": second})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _quiet(call: PlacedCall) -> bool:
    return time.time_ns() - call.ear.last_ns > _QUIET_S * _NS_PER_S


async def _until(condition: Callable[[], object], what: str) -> None:
    """Raises TimeoutError that says what was waited for."""
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"{what}: not within {_PATIENCE_S:g} s")
        await asyncio.sleep(_POLL_S)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.bench.takeover", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each failure once")
    parser.add_argument("--out", type=Path, default=FOLDER / "takeover.json")
    options = parser.parse_args(argv)
    report = asyncio.run(measure(1 if options.quick else REPETITIONS))
    write(report, options.out)
    tell(takeover_table(report))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
