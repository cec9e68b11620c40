"""The process under test: the media plane alone, every call echoed by an asyncio loop, on request a busy one."""

import asyncio
import json
import sys
import threading
import time

import numpy as np

from core.audio.codecs import create_codec
from core.leg import AudioReceived
from core.media.interpreter import settle_garbage_collector
from core.media.plane import MediaPlane
from core.media.settings import MediaSettings
from core.media.stream import MediaStream
from core.sdp.media_parameters import MediaParameters

# One turn of the busy loop: interpreted work, then one call that keeps the interpreter lock.
_BUSY_STEPS = 20_000
_BUSY_SAMPLES = 16_384
_MOST_QUEUED_MS = 0


async def _echo(stream: MediaStream) -> None:
    while True:
        event = await stream.receive()
        # What a burst, or a stand-in for missing audio, leaves in the queue would stay there for good.
        if isinstance(event, AudioReceived) and not event.concealed and stream.queued_ms <= _MOST_QUEUED_MS:
            await stream.play(event.pcm)


async def _keep_busy(share: float) -> None:
    """So much of the loop's thread, in turns that hold it up: what an AI side does."""
    samples = np.random.default_rng(0).standard_normal(_BUSY_SAMPLES)
    while True:
        began = time.thread_time()
        total = 0
        for step in range(_BUSY_STEPS):
            total += step & 7
        json.loads(json.dumps({"turns": [{"text": "hello", "at": at} for at in range(200)]}))
        np.fft.irfft(np.fft.rfft(samples) * 0.5)
        await asyncio.sleep((time.thread_time() - began) * (1 / share - 1))


async def _serve(peers: list[int], settings: MediaSettings, *, busy: float) -> None:
    plane = MediaPlane(settings)
    plane.start()
    streams = []
    for port in peers:
        stream = plane.open()
        stream.connect(
            MediaParameters(
                remote_address=("127.0.0.1", port),
                payload_type=0,
                codec=create_codec("PCMU"),
                dtmf_payload_type=101,
                ptime_ms=20,
                sending=True,
                receiving=True,
                comfort_noise=False,
                remote_rtcp=("127.0.0.1", port + 1),
            )
        )
        streams.append(stream)
    settle_garbage_collector()
    wheel = next(thread for thread in threading.enumerate() if thread.name == "rtp-wheel")
    _say({"ports": [stream.local_port for stream in streams], "wheel": wheel.native_id})
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_echo(stream)) for stream in streams]
        if busy:
            tasks.append(group.create_task(_keep_busy(busy)))
        await asyncio.to_thread(sys.stdin.readline)
        for task in tasks:
            task.cancel()
    worst_ms = plane.wheel.worst_lateness_s * 1000
    filled_ms = sum(stream.counters.filled_ms for stream in streams)
    skipped = plane.wheel.periods_skipped
    before = time.monotonic()
    plane.close()
    _say(
        {
            "worst_lateness_ms": worst_ms,
            "filled_ms": filled_ms,
            "periods_skipped": skipped,
            "close_ms": (time.monotonic() - before) * 1000,
            "mos_min": min(stream.statistics().mos for stream in streams),
        }
    )


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Reads one line of JSON, serves until the next line, and says on standard output what there is to know."""
    request = json.loads(sys.stdin.readline())
    settings = MediaSettings(
        rtp_bind_ip="127.0.0.1",
        rtp_min_port=request["min_port"],
        rtp_max_port=request["max_port"],
        realtime=request["realtime"],
    )
    if request["uvloop"]:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(request["peers"], settings, busy=request["busy"]))
    else:
        asyncio.run(_serve(request["peers"], settings, busy=request["busy"]))


if __name__ == "__main__":
    main()
