"""Lists the providers of each stage and which are in force; with --check, asks each of those for a little work."""

import argparse
import ast
import asyncio
import logging
import os
import time
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from core.agents.settings import AgentConfiguration
from core.errors import ProviderError
from core.providers import registry
from core.providers.base import GenerationParameters, Generator, Message, Recognizer, Synthesizer
from core.providers.settings import ServiceSettings
from core.settings import Configuration, config_file, load_configuration
from services.common.settings import ConfigurationError, Section
from tools.oavc.console import complain, styled, tell

EXIT_NOT_READY = 1
EXIT_CONFIGURATION = 2
CHECK_TIMEOUT_S = 5.0
SAMPLE_RATE_HZ = 16000
_READY_POLL_S = 0.05


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", help="configuration file (default: OAVC_CONFIG_FILE, else config/app.ini)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="ask those in force for a word each; whoever charges for it, charges for it",
    )


def run(options: argparse.Namespace) -> int:
    """0 where the configuration is right and, with --check, every provider in force is ready."""
    # What providers log while they are tried is told in one line each.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        configuration = load_configuration(config_file(os.environ, options.config), os.environ)
    except ConfigurationError as error:
        for problem in error.problems:
            complain(f"oavc providers: {problem}")
        return EXIT_CONFIGURATION
    for line in _registered():
        tell(line)
    tell("\nin force, in this order")
    for agent in (configuration.default, *configuration.agents):
        chosen = (f"{stage.section}: {', '.join(agent.settings[stage].provider)}" for stage in registry.STAGES)
        tell(f"  {agent.name:<12} {'   '.join(chosen)}")
    if not options.check:
        return 0
    tell("\nready")
    found = asyncio.run(check(configuration))
    for each in found:
        verdict = styled(f"yes, after {each.took_s:.1f} s", "green") if each.ready else styled(each.reason, "red")
        tell(f"  {each.stage} {each.name:<10} for {', '.join(each.agents)}: {verdict}")
    return 0 if all(each.ready for each in found) else EXIT_NOT_READY


def _registered() -> list[str]:
    lines = []
    for stage, names in registry.PROVIDERS.items():
        lines.append(styled(stage, "bold"))
        for name, module in names.items():
            section, missing = "", ""
            try:
                settings = registry.module(stage, name).SETTINGS
                section = f" [{settings.section}]" if settings is not None else ""
            except ConfigurationError:
                section, missing = f" [{stage}.{name}]", styled(f"  not installed: extra {name!r}", "yellow")
            lines.append(f"  {name:<10} {purpose(module)}{section}{missing}")
    return lines


def purpose(module: str) -> str:
    """The first line of a module's documentation, the module itself not imported."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    documentation = ast.get_docstring(ast.parse(Path(spec.origin).read_text("utf-8"))) or ""
    return documentation.partition("\n")[0]


@dataclass(slots=True)
class Verdict:
    """Of one provider in force: whether it did a little of its work, and what stood against it."""

    stage: str
    name: str
    agents: list[str]
    ready: bool = False
    reason: str = ""
    took_s: float = 0.0


async def check(configuration: Configuration) -> list[Verdict]:
    """One verdict a provider, all asked at the same time."""
    wanted: list[tuple[ServiceSettings, str, Section | None, AgentConfiguration, Verdict]] = []
    for agent in (configuration.default, *configuration.agents):
        for stage in (agent.settings[each] for each in registry.STAGES):
            for name in dict.fromkeys(stage.provider):
                section = registry.module(stage.section, name).SETTINGS
                own = None if section is None else agent.settings[section]
                same = next((each for each in wanted if each[:3] == (stage, name, own)), None)
                if same is not None:
                    same[4].agents.append(agent.name)
                else:
                    wanted.append((stage, name, own, agent, Verdict(stage.section, name, [agent.name])))
    await asyncio.gather(*(_judge(stage, name, agent, verdict) for stage, name, _, agent, verdict in wanted))
    return [verdict for *_, verdict in wanted]


async def _judge(stage: ServiceSettings, name: str, agent: AgentConfiguration, verdict: Verdict) -> None:
    began_s = time.monotonic()
    try:
        provider = registry.build_one(stage, name, agent.settings)
    except ConfigurationError as error:
        verdict.reason = "; ".join(error.problems)
        return
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await _TRIALS[stage.section](provider)
            verdict.reason = "it answers, but says that it is not ready"
            while not provider.ready:  # noqa: ASYNC110  a provider says so only when it is asked
                await asyncio.sleep(_READY_POLL_S)
        verdict.ready, verdict.reason = True, ""
    except (ProviderError, ValueError) as error:
        verdict.reason = str(error)
    except TimeoutError:
        verdict.reason = verdict.reason or f"no answer within {CHECK_TIMEOUT_S:g} s"
    finally:
        verdict.took_s = time.monotonic() - began_s
        await provider.close()


async def _recognise(recognizer: Recognizer) -> None:
    stream = await recognizer.open(SAMPLE_RATE_HZ)
    try:
        for _ in range(10):
            await stream.send(bytes(SAMPLE_RATE_HZ // 50 * 2))
        await stream.finalize(1)
        async for transcript in stream.transcripts():
            if transcript.is_final:
                return
    finally:
        await stream.close()


async def _generate(generator: Generator) -> None:
    messages: Sequence[Message] = [Message("user", "Hello.")]
    async with aclosing(generator.generate(messages, GenerationParameters(max_tokens=1), "check")) as answer:
        async for _ in answer:
            return


async def _synthesize(synthesizer: Synthesizer) -> None:
    async with aclosing(synthesizer.synthesize("Yes.", SAMPLE_RATE_HZ)) as audio:
        async for _ in audio:
            return


_TRIALS: dict[str, Any] = {"asr": _recognise, "llm": _generate, "tts": _synthesize}
