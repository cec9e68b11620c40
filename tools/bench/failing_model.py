"""A language model's server to be killed or stopped in the middle of an answer: `python -m tools.bench.failing_model`.

It speaks the wire of `core.providers.llm.llama_ws` on FAILING_MODEL_PORT. An answer is FAILING_MODEL_WORDS and then one
word after the other, which never make a clause; without words it never begins. Each question is a line of the output.
"""

import asyncio
import contextlib
import json
import os
import signal

from aiohttp import WSMsgType, web

PORT = "FAILING_MODEL_PORT"
WORDS = "FAILING_MODEL_WORDS"
ASKED = "asked"
# Well within any budget.
WORD_S = 0.1


async def serve(port: int, words: str) -> None:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            # Who only warms it asks for one word.
            if json.loads(message.data)["max_tokens"] == 1:
                await socket.send_json({"chunk": "Yes"})
                await socket.send_json({"done": True})
                continue
            print(ASKED, flush=True)  # noqa: T201
            await _answer(socket, words)
        return socket

    application = web.Application()
    application.add_routes([web.get("/", talk)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    await over.wait()
    await runner.cleanup()


async def _answer(socket: web.WebSocketResponse, words: str) -> None:
    chunk = words
    while chunk and not socket.closed:
        with contextlib.suppress(ConnectionError):
            await socket.send_json({"chunk": chunk})
        await asyncio.sleep(WORD_S)
        chunk = "and "


if __name__ == "__main__":
    asyncio.run(serve(int(os.environ[PORT]), os.environ[WORDS]))
