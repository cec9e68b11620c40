"""What every language model behind a server of others must do when the server does not do what it should."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from core.errors import ProviderError, ProviderTimeout, ProviderUnavailable
from core.providers import readiness
from core.providers.base import Generated, GenerationParameters, Generator, Message, Tool
from core.providers.server_text import LEFT_OUT
from tests.contract.backend import WAIT_S, free_port, leave, silent_port, until
from tests.contract.llm_servers import SERVERS, Served
from tests.support.standins.script import ANSWER

OPENING = (Message("system", "You are the receptionist of the Harbour Hotel, and brief."),)
CONVERSATION = (*OPENING, Message("user", "When does the restaurant open on Sundays?"))
PARAMETERS = GenerationParameters(max_tokens=12, temperature=0.0)


@pytest.fixture(autouse=True)
def _watched_closely(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "AWAY_INTERVAL_S", 0.02)


@pytest.fixture(params=[pytest.param(server, id=name) for name, server in SERVERS.items()])
def server(request: pytest.FixtureRequest) -> type[Served]:
    kind: type[Served] = request.param
    return kind


@pytest.fixture
async def served(server: type[Served]) -> AsyncIterator[Served]:
    async with server() as served:
        yield served


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Every record of every logger, whatever its level."""
    seen: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(record)

    root = logging.getLogger()
    level, handler = root.level, Keep()
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield seen
    root.setLevel(level)
    root.removeHandler(handler)


async def answer(provider: Generator, parameters: GenerationParameters = PARAMETERS) -> list[Generated]:
    async with asyncio.timeout(WAIT_S):
        return [piece async for piece in provider.generate(CONVERSATION, parameters, "s")]


async def test_the_pieces_are_those_of_the_server(served: Served) -> None:
    assert await answer(served.generator) == list(ANSWER)


@pytest.mark.parametrize("how", ["close", "cancel"])
async def test_leaving_early_stops_the_work_on_the_other_side(served: Served, how: str) -> None:
    served.script.may_go_on.clear()
    pieces = served.generator.generate(CONVERSATION, PARAMETERS, "s")
    assert await anext(pieces) == ANSWER[0]
    assert served.script.running == 1
    await leave(pieces, how)
    await until(lambda: served.script.running == 0)
    assert served.script.cancelled == 1


async def test_cancelling_before_the_first_piece_stops_the_work_too(served: Served) -> None:
    served.script.may_begin.clear()
    asking = asyncio.create_task(answer(served.generator))
    await until(lambda: served.script.running)
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    await until(lambda: served.script.cancelled)


@pytest.mark.parametrize("after", [0, 2])
async def test_a_server_that_fails_is_unavailable(served: Served, after: int) -> None:
    served.script.refusal = 503
    served.script.refuse_after = after
    pieces = served.generator.generate(CONVERSATION, PARAMETERS, "s")
    assert [await anext(pieces) for _ in range(after)] == list(ANSWER[:after])
    with pytest.raises(ProviderError, match="as the test wants it") as refused:
        await anext(pieces)
    assert type(refused.value) is ProviderUnavailable


async def test_a_passing_failure_is_tried_again(served: Served) -> None:
    served.script.refusal = 503
    answering = asyncio.create_task(answer(served.generator))
    await until(lambda: served.script.requests)
    served.script.refusal = None
    assert await answering == list(ANSWER)
    assert len(served.script.requests) > 1


async def test_attempts_are_counted(served: Served) -> None:
    served.script.refusal = 503
    provider = served.make_generator(served.server.port, max_retries=1)
    with pytest.raises(ProviderUnavailable):
        await answer(provider)
    assert len(served.script.requests) == 2
    await provider.close()


async def test_nothing_is_tried_again_once_a_piece_has_come(served: Served) -> None:
    served.script.die_after = 2
    pieces = served.generator.generate(CONVERSATION, PARAMETERS, "s")
    assert [await anext(pieces) for _ in range(2)] == list(ANSWER[:2])
    with pytest.raises(ProviderUnavailable):
        await anext(pieces)
    assert len(served.script.requests) == 1


async def test_a_server_that_is_away_is_unavailable_and_sessions_still_end(server: type[Served]) -> None:
    provider = server.make_generator(free_port(), max_retries=1)
    with pytest.raises(ProviderUnavailable):
        await answer(provider)
    with pytest.raises(ProviderUnavailable):
        await provider.warm_up(OPENING, "s")
    await provider.end_session("s")
    assert not provider.ready
    await provider.close()


async def test_a_server_that_never_answers_times_out(server: type[Served]) -> None:
    with silent_port() as port:
        provider = server.make_generator(port, timeout=0.2)
        with pytest.raises(ProviderTimeout):
            await answer(provider)
        with pytest.raises(ProviderTimeout):
            await provider.warm_up(OPENING, "s")
        await provider.close()


@pytest.mark.parametrize("begun", [False, True])
async def test_an_answer_that_hangs_times_out_and_is_given_up(served: Served, begun: bool) -> None:
    slow = served.make_generator(served.server.port, timeout=0.2)
    (served.script.may_go_on if begun else served.script.may_begin).clear()
    pieces = slow.generate(CONVERSATION, PARAMETERS, "s")
    if begun:
        assert await anext(pieces) == ANSWER[0]
    with pytest.raises(ProviderTimeout):
        await anext(pieces)
    await until(lambda: served.script.running == 0)
    await slow.close()


async def test_a_server_that_dies_in_the_middle_and_returns_is_used_again(served: Served) -> None:
    await until(lambda: served.generator.ready)
    served.script.may_go_on.clear()
    pieces = served.generator.generate(CONVERSATION, PARAMETERS, "s")
    assert await anext(pieces) == ANSWER[0]
    await served.server.die()
    with pytest.raises(ProviderUnavailable):
        await anext(pieces)
    await until(lambda: not served.generator.ready)
    served.script.may_go_on.set()
    await served.server.start()
    await until(lambda: served.generator.ready)
    assert await answer(served.generator) == list(ANSWER)


async def test_warming_and_asking_have_the_same_tools_in_the_prompt(served: Served) -> None:
    await until(lambda: served.generator.ready)
    tools = (Tool("look_up", "Looks something up."),) if served.generator.calls_tools else ()
    await served.generator.warm_up(OPENING, "s", tools)
    assert [piece async for piece in served.generator.generate(CONVERSATION, PARAMETERS, "s", tools)]
    warmed, asked = served.script.requests
    assert warmed.get("tools") == asked.get("tools")
    assert bool(warmed.get("tools")) == served.generator.calls_tools


async def test_no_log_repeats_the_conversation(served: Served, records: list[logging.LogRecord]) -> None:
    await answer(served.generator)
    await served.generator.warm_up(OPENING, "s")
    served.script.refusal = 400
    served.script.refusal_text = f"invalid input: {CONVERSATION[1].content!r}"
    # Not every protocol can say that it rejects.
    with pytest.raises(ProviderError, match=LEFT_OUT) as refused:
        await answer(served.generator)
    logging.getLogger("test").warning("provider failed", extra={"error": str(refused.value)})
    await served.server.die()
    with pytest.raises(ProviderUnavailable):
        await answer(served.generator)
    await until(lambda: not served.generator.ready)
    told = [f"{record.getMessage()} {vars(record)}" for record in records]
    assert told
    for line in told:
        assert not any(message.content in line for message in CONVERSATION)
