"""The language models behind others' servers, each with the stand-in for its server."""

from typing import Any, ClassVar, Protocol, Self

from pydantic import SecretStr

from core.providers.base import Generator
from core.providers.llm.llama_ws import LlamaWsGenerator, LlamaWsSettings
from core.providers.llm.ollama import OllamaGenerator, OllamaSettings
from core.providers.llm.openai import OpenAiGenerator, OpenAiSettings
from core.providers.settings import LlmSettings
from tests.support.standins import ollama, openai
from tests.support.standins.llama_ws import LlamaWsServer
from tests.support.standins.ollama import OllamaServer
from tests.support.standins.openai import OpenAiServer
from tests.support.standins.script import Script


class Server(Protocol):
    """What the stand-ins have in common."""

    script: Script
    port: int

    async def start(self) -> None: ...

    async def die(self) -> None: ...


class Served:
    """A provider and its server, both up within the context."""

    name: ClassVar[str]

    def __init__(self) -> None:
        self.server = self.make_server()
        self.script = self.server.script

    @staticmethod
    def make_server() -> Server:
        raise NotImplementedError

    @staticmethod
    def make_generator(port: int, **settings: Any) -> Generator:
        """A provider of what listens on the port."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.server.start()
        self.generator = self.make_generator(self.server.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.generator.close()
        await self.server.die()


class OverOpenAi(Served):
    name = "openai"

    @staticmethod
    def make_server() -> Server:
        return OpenAiServer()

    @staticmethod
    def make_generator(port: int, **settings: Any) -> Generator:
        own = OpenAiSettings(url=f"http://127.0.0.1:{port}/v1", api_key=SecretStr(openai.KEY), model=openai.MODEL)
        return OpenAiGenerator(LlmSettings(**settings), own)


class OverOllama(Served):
    name = "ollama"

    @staticmethod
    def make_server() -> Server:
        return OllamaServer()

    @staticmethod
    def make_generator(port: int, **settings: Any) -> Generator:
        own = OllamaSettings(url=f"http://127.0.0.1:{port}", model=ollama.MODEL)
        return OllamaGenerator(LlmSettings(**settings), own)


class OverLlamaWs(Served):
    name = "llama_ws"

    @staticmethod
    def make_server() -> Server:
        return LlamaWsServer()

    @staticmethod
    def make_generator(port: int, **settings: Any) -> Generator:
        return LlamaWsGenerator(LlmSettings(**settings), LlamaWsSettings(url=f"ws://127.0.0.1:{port}"))


SERVERS: dict[str, type[Served]] = {served.name: served for served in (OverLlamaWs, OverOllama, OverOpenAi)}
