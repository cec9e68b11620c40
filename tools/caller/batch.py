"""Several calls of one script: spoken words made ready once, calls started at a rate, each with a number of its own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from tools.caller.caller import CallRecord, Observer, play_call
from tools.caller.line import Line
from tools.caller.script import CallScript
from tools.caller.speech import PIPER_VOICE, SpeechCache, piper_renderer

SPEECH_FOLDER = Path("build/speech")


def render_speeches(script: CallScript, folder: Path = SPEECH_FOLDER) -> list[bytes]:
    """The PCM of everything the caller says, in order.

    Raises:
        SpeechError: something cannot be spoken or read.
    """
    cache = SpeechCache(folder, piper_renderer(), PIPER_VOICE)
    return [cache.pcm(say) for say in script.says]


async def play_calls(
    line: Line,
    script: CallScript,
    speeches: Sequence[bytes],
    *,
    count: int,
    rate: float,
    observer: Observer | None = None,
) -> list[CallRecord]:
    """So many calls, so many of them begun a second, with as many callers; they go on side by side.

    Raises:
        OSError: a phone finds no port.
    """
    async with asyncio.TaskGroup() as group:
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        tasks = []
        for number in range(count):
            await asyncio.sleep(start_s + number / rate - loop.time())
            caller = script.caller if count == 1 else f"{script.caller}-{number + 1}"
            call = play_call(line, script, speeches, caller=caller, stream=number, observer=observer)
            tasks.append(group.create_task(call))
    return [task.result() for task in tasks]
