"""What a client of StreamingRecognize sees, over a real server and with an engine that hears tones."""

import asyncio
import threading

import grpc
import pytest

from services.asr.engine import Transcript
from services.asr.settings import AsrSettings
from services.asr.tests.client import Client, Stream, texts
from services.asr.tests.conftest import Metric, Serve
from services.asr.tests.fakes import ToneEngine, quiet, said

PAUSE = quiet(0.25)
CALL = {"sample_rate": 16_000, "interim_results": True, "client_endpointing": True}


async def test_interim_results_come_while_the_caller_speaks(client: Client) -> None:
    stream = await client.stream(**CALL)
    await stream.say(said("hello", "book"))
    interim = await stream.next()
    assert interim.result.text.startswith("hello")
    assert not interim.is_final
    assert not interim.is_stable
    assert not interim.end_of_utterance


async def test_stream_is_accepted_before_anything_is_heard(client: Client) -> None:
    stream = await client.stream(**CALL)
    async with asyncio.timeout(5):
        await stream.call.initial_metadata()


async def test_words_after_which_the_caller_pauses_are_stable(client: Client) -> None:
    stream = await client.stream(**CALL)
    await stream.say(said("hello", "table") + PAUSE)
    stable = await stream.stable()
    assert stable.result.text == "hello table"
    assert not stable.is_final
    assert stable.processing_ms > 0


async def test_stable_result_is_the_final_without_another_pass(client: Client, engine: ToneEngine) -> None:
    stream = await client.stream(**CALL)
    await stream.say(said("book", "table") + PAUSE)
    stable = await stream.stable()
    passes = len(engine.calls)
    await stream.finalize(7)
    final = await stream.next()
    assert final.is_final
    assert final.end_of_utterance
    assert final.utterance_id == 7
    assert final.result == stable.result
    assert len(engine.calls) == passes


async def test_speech_after_the_stable_result_is_read_too(client: Client) -> None:
    stream = await client.stream(**CALL)
    await stream.say(said("book") + PAUSE)
    await stream.stable()
    await stream.say(said("four", "please"))
    await stream.finalize()
    assert (await stream.final()).result.text == "book four please"


async def test_finalize_uses_the_pass_that_is_under_way(serve: Serve, engine: ToneEngine) -> None:
    engine.interim_interval_s = 60.0
    engine.hold = threading.Event()
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello") + PAUSE)
        await asyncio.to_thread(engine.entered.wait, 5)
        await stream.finalize()
        engine.hold.set()
        assert (await stream.final()).result.text == "hello"
        assert engine.calls == ["final"]


async def test_utterances_are_answered_one_by_one_in_order(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000, client_endpointing=True)
    for number, word in enumerate(("hello", "book", "table", "four", "please", "hello"), 1):
        await stream.say(said(word) + PAUSE)
        await stream.finalize(number)
    responses = await stream.rest()
    assert texts(responses) == ["hello", "book", "table", "four", "please", "hello"]
    assert [response.utterance_id for response in responses if response.is_final] == [1, 2, 3, 4, 5, 6]


async def test_finalize_in_the_middle_of_speech_loses_and_doubles_nothing(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000, client_endpointing=True)
    await stream.say(said("hello", "book", gap_s=0.0)[: 2 * 16_000 * 3 // 10])
    await stream.finalize(1)
    await stream.say(said("book"))
    await stream.finalize(2)
    assert texts(await stream.rest()) == ["hello", "book"]


async def test_client_that_does_not_know_of_the_wish_gets_interim_results(client: Client) -> None:
    # The first schema tells interim from final results, and has no way to ask for them.
    stream = await client.stream(sample_rate=16_000)
    await stream.say(said("hello", "book"))
    interim = await stream.next()
    assert interim.result.text.startswith("hello")
    assert not interim.is_final
    assert not interim.end_of_utterance


async def test_without_interim_results_only_finals_are_sent(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000, client_endpointing=True, interim_results=False)
    await stream.say(said("hello", "book") + PAUSE + said("four") + PAUSE)
    await stream.finalize()
    responses = await stream.rest()
    assert [response.is_final for response in responses] == [True]


async def test_silence_is_answered_at_once_and_no_pass_is_made(
    client: Client, engine: ToneEngine, metric: Metric
) -> None:
    stream = await client.stream(**CALL)
    await stream.say(quiet(1.0))
    await stream.finalize(3)
    final = await stream.next()
    assert final.is_final
    assert final.utterance_id == 3
    assert final.result.text == ""
    assert final.rejected_reason == "silence"
    assert engine.calls == []
    assert metric("oavc_asr_rejected_total", reason="silence") == 1


async def test_sound_that_is_no_speech_is_noise(client: Client) -> None:
    stream = await client.stream(**CALL)
    await stream.say(said("hello", word_s=0.04) + PAUSE)
    await stream.finalize()
    assert (await stream.next()).rejected_reason == "noise"


async def test_finalize_before_any_audio_is_answered(client: Client) -> None:
    stream = await client.stream(**CALL)
    await stream.finalize(1)
    assert (await stream.next()).rejected_reason == "silence"


async def test_phantom_is_held_back_and_counted(serve: Serve, engine: ToneEngine, metric: Metric) -> None:
    engine.reads = Transcript("Thank you.", 0.2, average_log_probability=-1.0, no_speech_probability=0.7)
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello") + PAUSE)
        await stream.finalize()
        responses = await stream.rest()
        assert [(r.is_final, r.result.text, r.rejected_reason) for r in responses] == [(True, "", "phantom")]
        assert (await client.stats()).phantoms_rejected == 1
        assert metric("oavc_asr_rejected_total", reason="phantom") == 1


async def test_sound_that_is_not_believed_is_not_read_at_every_pause(serve: Serve, engine: ToneEngine) -> None:
    engine.interim_interval_s = 60.0
    engine.reads = Transcript("Thank you.", 0.2, average_log_probability=-1.5, no_speech_probability=0.7)
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        for _ in range(10):
            await stream.say(said("hello") + PAUSE)
            await client.stats()
        await stream.finalize()
        assert (await stream.final()).rejected_reason == "phantom"
        assert engine.calls == ["final", "final"]


async def test_telephone_audio_of_8_khz_is_heard(client: Client) -> None:
    stream = await client.stream(sample_rate=8000, client_endpointing=True)
    await stream.say(said("hello", "table", sample_rate_hz=8000) + quiet(0.3, 8000), chunk_size=320)
    await stream.finalize()
    assert (await stream.final()).result.text == "hello table"


async def test_words_are_timed_from_the_streams_begin_over_dropped_silence(client: Client) -> None:
    stream = await client.stream(show_words=True, client_endpointing=True, sample_rate=16_000)
    await stream.say(quiet(2.0) + said("hello") + quiet(1.0) + said("book") + PAUSE)
    await stream.finalize()
    words = (await stream.final()).result.words
    assert [word.word for word in words] == ["hello", "book"]
    assert words[0].start == pytest.approx(2.0, abs=0.04)
    assert words[0].end == pytest.approx(2.3, abs=0.04)
    assert words[1].start == pytest.approx(3.35, abs=0.04)


async def test_alternatives_and_phrases_reach_the_engine(client: Client, engine: ToneEngine) -> None:
    stream = await client.stream(max_alternatives=2, phrase_list=["margherita"], client_endpointing=True)
    await stream.say(said("hello"))
    await stream.finalize()
    result = (await stream.final()).result
    assert [each.text for each in result.alternatives] == ["reading 0", "reading 1"]
    assert engine.options[0].phrases == ("margherita",)


async def test_service_ends_utterances_at_pauses_for_clients_that_leave_it_to_it(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000)
    await stream.say(said("hello") + quiet(0.7) + said("book", "table") + quiet(0.7))
    first, second = await stream.final(), await stream.final()
    assert (first.result.text, second.result.text) == ("hello", "book table")
    assert first.end_of_utterance
    assert first.utterance_id == 0


async def test_client_says_how_long_a_pause_ends_an_utterance(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000, endpoint_silence_ms=1000)
    await stream.say(said("hello") + quiet(0.7) + said("book") + quiet(1.2))
    assert texts(await stream.rest()) == ["hello book"]


async def test_one_long_message_is_heard_like_many_short_ones(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000)
    await stream.say(said("hello") + quiet(0.7) + said("book") + quiet(0.2), chunk_size=65_536)
    assert texts(await stream.rest()) == ["hello", "book"]


async def test_eof_brings_the_final_and_ends_the_stream(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000)
    await stream.say(said("hello", "please"))
    await stream.send(control_message='{"eof": 1}')
    assert (await stream.final()).result.text == "hello please"
    assert await stream.call.read() is grpc.aio.EOF


async def test_eof_after_silence_brings_an_empty_final(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000)
    await stream.send(control_message='{"eof" : 1}')
    assert (await stream.next()).rejected_reason == "silence"
    assert await stream.call.read() is grpc.aio.EOF


async def test_closing_the_sending_side_brings_what_is_left(client: Client) -> None:
    stream = await client.stream(sample_rate=16_000)
    await stream.say(said("four"))
    assert texts(await stream.rest()) == ["four"]


async def test_closing_after_the_last_answer_adds_none(client: Client) -> None:
    stream = await client.stream(**CALL)
    await stream.say(said("four") + PAUSE)
    await stream.finalize()
    await stream.say(quiet(0.5))
    assert texts(await stream.rest()) == ["four"]


async def test_reset_drops_the_utterance(client: Client) -> None:
    stream = await client.stream(**CALL)
    await stream.say(said("hello") + PAUSE)
    await stream.stable()
    await stream.send(control_message='{"reset": 1}')
    await stream.say(said("book"))
    await stream.finalize()
    assert (await stream.final()).result.text == "book"


async def test_reset_takes_back_a_reading_under_way(serve: Serve, engine: ToneEngine) -> None:
    engine.hold = threading.Event()
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello"))
        await asyncio.to_thread(engine.entered.wait, 5)
        await stream.send(control_message='{"reset": 1}')
        await stream.say(said("book") + PAUSE)
        await stream.finalize()
        engine.hold.set()
        assert texts(await stream.rest()) == ["book"]


async def test_interim_reading_that_the_pause_overtakes_is_not_sent(serve: Serve, engine: ToneEngine) -> None:
    engine.hold = threading.Event()
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello"))
        await asyncio.to_thread(engine.entered.wait, 5)
        await stream.say(said("book") + PAUSE + quiet(0.2))
        async with asyncio.timeout(5):
            while not engine.superseded():
                await asyncio.sleep(0.01)
        engine.hold.set()
        first = await stream.next()
        assert first.is_stable
        assert first.result.text == "hello book"
        assert engine.calls == ["interim", "final"]


async def test_engine_that_hears_as_it_goes_is_fed_and_asked_once(serve: Serve) -> None:
    engine = ToneEngine(repeatable=False)
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello", "book") + PAUSE)
        assert (await stream.stable()).result.text == "hello book"
        await stream.finalize()
        assert (await stream.final()).result.text == "hello book"
        assert engine.calls.count("final") == 1


async def test_a_pause_after_the_reading_makes_its_words_stable(serve: Serve) -> None:
    async with serve(ToneEngine(repeatable=False)) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello", "book"))
        while (await stream.next()).result.text != "hello book":
            continue

        await stream.say(PAUSE)

        assert (await stream.stable()).result.text == "hello book"


async def test_last_words_of_an_engine_that_lags_are_there_before_they_are_stable(serve: Serve) -> None:
    async with serve(ToneEngine(repeatable=False, lag_s=0.6)) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello", "book") + PAUSE)
        assert (await stream.stable()).result.text == "hello book"
        await stream.say(said("table") + PAUSE)
        assert (await stream.stable()).result.text == "hello book table"


async def test_silence_within_a_word_is_not_made_longer(serve: Serve) -> None:
    engine = ToneEngine(repeatable=False)
    async with serve(engine) as client:
        stream = await client.stream(**CALL, show_words=True)
        await stream.say(said("hello", gap_s=0.2) + said("book") + PAUSE)
        await stream.stable()
        await stream.say(said("table") + PAUSE)
        await stream.finalize()
        words = (await stream.final()).result.words
        assert [word.word for word in words] == ["hello", "book", "table"]
        # The silence that was added is not in the stream.
        assert words[1].start == pytest.approx(0.5, abs=0.04)
        assert words[2].start == pytest.approx(0.85 + len(PAUSE) / 32_000, abs=0.04)


async def test_engine_that_hears_as_it_goes_is_fed_without_interim_results(serve: Serve) -> None:
    engine = ToneEngine(repeatable=False)
    async with serve(engine) as client:
        stream = await client.stream(sample_rate=16_000, client_endpointing=True, interim_results=False)
        await stream.say(said("hello", "book", "table"))
        await asyncio.to_thread(engine.entered.wait, 5)
        await stream.finalize()
        assert texts(await stream.rest()) == ["hello book table"]


async def test_client_that_sends_faster_than_can_be_read_waits(serve: Serve, engine: ToneEngine) -> None:
    engine.hold = threading.Event()
    engine.counts = True
    async with serve(engine) as client:
        stream = await client.stream(sample_rate=16_000, client_endpointing=True, interim_results=False)
        sending = asyncio.create_task(stream.say(said(*["hello"] * 150), chunk_size=32_000))
        await asyncio.to_thread(engine.entered.wait, 5)
        engine.hold.set()
        await sending
        await stream.finalize()
        assert (await stream.final()).result.text == "150 words"


async def test_cancelled_stream_leaves_nothing_behind(serve: Serve, engine: ToneEngine, metric: Metric) -> None:
    engine.hold = threading.Event()
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello") + PAUSE)
        await asyncio.to_thread(engine.entered.wait, 5)
        stream.call.cancel()
        async with asyncio.timeout(5):
            while (await client.stats()).active_connections:
                await asyncio.sleep(0.01)
        engine.hold.set()
        again = await client.stream(**CALL)
        await again.say(said("book"))
        await again.finalize()
        assert (await again.final()).result.text == "book"
        assert metric("oavc_asr_streams_active") == 1


async def test_failing_engine_ends_its_stream_and_the_next_one_works(serve: Serve, engine: ToneEngine) -> None:
    engine.failure = RuntimeError("out of tones")
    async with serve(engine) as client:
        stream = await client.stream(**CALL)
        await stream.say(said("hello"), chunk_size=65_536)
        error = await stream.error()
        assert error.code() is grpc.StatusCode.INTERNAL
        assert "out of tones" in (error.details() or "")
        engine.failure = None
        again = await client.stream(**CALL)
        await again.say(said("hello"))
        await again.finalize()
        assert (await again.final()).result.text == "hello"


async def test_interim_reading_that_waits_too_long_is_dropped_and_counted(
    serve: Serve, engine: ToneEngine, metric: Metric
) -> None:
    engine.hold = threading.Event()
    async with serve(engine) as client:
        first = await client.stream(**CALL)
        await first.say(said("hello") + PAUSE)
        await asyncio.to_thread(engine.entered.wait, 5)
        second = await client.stream(**CALL)
        await second.say(said("book"))
        async with asyncio.timeout(5):
            while not metric("oavc_asr_interim_dropped_total"):
                await asyncio.sleep(0.02)
        await second.finalize()
        await first.finalize()
        engine.hold.set()
        assert (await second.final()).result.text == "book"
        assert (await first.final()).result.text == "hello"


async def test_stable_reading_keeps_its_place_in_the_queue(serve: Serve, engine: ToneEngine) -> None:
    engine.interim_interval_s = 60.0
    engine.hold = threading.Event()
    async with serve(engine) as client:
        first, second, third = [await client.stream(**CALL) for _ in range(3)]
        await first.say(said("hello") + PAUSE)
        await asyncio.to_thread(engine.entered.wait, 5)
        await second.say(said("book") + PAUSE)
        await client.stats()
        await third.say(said("table") + PAUSE)
        await client.stats()
        # Audio that goes on must not send the second one's reading behind the third one's.
        await second.say(quiet(0.5))
        await client.stats()
        order: list[str] = []

        async def note(stream: Stream) -> None:
            order.append((await stream.stable()).result.text)

        engine.hold.set()
        await asyncio.gather(note(first), note(third), note(second))
        assert order == ["hello", "book", "table"]


async def test_streams_share_the_engine_fairly(serve: Serve, engine: ToneEngine) -> None:
    async with serve(engine) as client:

        async def call(word: str) -> list[str]:
            stream = await client.stream(**CALL)
            for number in range(3):
                await stream.say(said(word, "please") + PAUSE)
                await stream.finalize(number)
            return texts(await stream.rest())

        words = ["hello", "book", "table", "four"] * 2
        answers = await asyncio.gather(*(call(word) for word in words))
        assert answers == [[f"{word} please"] * 3 for word in words]


async def test_more_streams_than_allowed_are_refused(serve: Serve, engine: ToneEngine) -> None:
    async with serve(engine, AsrSettings(streams_max=1)) as client:
        first = await client.stream(**CALL)
        await first.finalize()
        await first.final()
        # Refused whatever it sends.
        second = await client.stream()
        error = await second.error()
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "1 streams" in (error.details() or "")


async def test_recordings_beyond_what_is_allowed_are_refused(serve: Serve, engine: ToneEngine) -> None:
    async with serve(engine, AsrSettings(streams_max=1)) as client:
        first = await client.stream(**CALL)
        await first.finalize()
        await first.final()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.recognize(said("hello"), sample_rate=16_000)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
