"""The first language model is a process that is killed in mid-answer: the caller hears the second one end the turn."""

import signal
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest

from core.dialogue.settings import DialogueSettings
from tests.contract.backend import free_port
from tests.integration.conversation import until
from tests.integration.far_ends import Chosen, far_ends
from tests.integration.line import Line, open_line
from tests.integration.twilio_exchange import Exchange, open_exchange
from tests.support.standins.script import saying
from tools.bench.takeover import FailingModel

pytestmark = [pytest.mark.slow]

FIRST = "Let me think about that."
SECOND = ("I ", "would ", "take ", "the ", "train.")
TAKEOVERS = 'oavc_provider_takeovers_total{from="llama_ws",reason="unavailable",stage="llm",to="grpc"}'
# The second is scripted: this is core's own share, and a busy machine's.
HEARD_WITHIN_S = 1.5


@pytest.mark.parametrize("transport", ["opensips", "twilio"])
async def test_the_turn_ends_with_the_second_models_spoken_answer(tmp_path: Path, transport: str) -> None:
    async with far_ends(Chosen("grpc", "grpc", "grpc")) as ends, _failing_model(tmp_path) as model:
        ends.script.answer = saying(*SECOND)
        environ = {**ends.environ, "LLM_PROVIDER": "llama_ws, grpc", "LLAMA_URL": model.url}
        async with _opened(transport, tmp_path, environ) as line, line.call() as call:
            await call.hears_something()
            asked_ns = await call.say()
            await call.hears_something(since_ns=asked_ns)
            assert ends.script.requests == []

            killed_ns = time.time_ns()
            model.fail(signal.SIGKILL)
            await call.hears(killed_ns, within_s=HEARD_WITHIN_S)
            await call.falls_quiet()
            await until(lambda: ends.script.running == 0, 5.0, "the second model has answered")
            (turn,) = await call.answers()
            assert turn.said == turn.spoken == f"{FIRST} {''.join(SECOND)}"
            assert DialogueSettings().apology_message not in turn.said
            assert {text for text in ends.voice.said if text in turn.said} == {FIRST, "".join(SECOND)}
            assert f"{TAKEOVERS} 1.0" in (await line.core.get("/metrics")).splitlines()
            assert call.up
        assert line.core.errors() == []


@asynccontextmanager
async def _failing_model(folder: Path) -> AsyncIterator[FailingModel]:
    model = FailingModel(free_port(), folder / "first-model.log")
    await model.start(f"{FIRST} ")
    try:
        yield model
    finally:
        await model.stop()


def _opened(transport: str, folder: Path, environ: dict[str, str]) -> "AbstractAsyncContextManager[Line | Exchange]":
    if transport == "twilio":
        return open_exchange(folder, environ=environ)
    return open_line(folder, environ=environ)
