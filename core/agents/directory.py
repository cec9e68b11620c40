"""The agents of one configuration: built, made ready to speak, and chosen for each call."""

import asyncio
import logging
from collections.abc import Sequence

from core.agents.briefing import Briefing
from core.agents.phrases import FixedPhrases
from core.calls.agent import Agent
from core.leg import CallInfo
from core.pipeline.call_pipeline import Conversations
from core.pipeline.settings import AudioSettings
from core.pipeline.voice_activity import VoiceActivity
from core.providers.base import GenerationParameters
from core.providers.pool import Lease, ProviderPool
from core.providers.registry import STAGES
from core.providers.settings import AsrSettings, LlmSettings

log = logging.getLogger(__name__)

READY_POLL_S = 0.05
# By one of these the routing script names the agent itself; the second is upstream's.
NAMING_PARAMETERS = ("agent", "flavor")


class AgentDirectory:
    """Knows who answers. Keeps the providers of its agents open until it is closed; a call that is up keeps its own."""

    def __init__(self, briefings: Sequence[Briefing], pool: ProviderPool, voice_activity: VoiceActivity) -> None:
        """Builds the agents, of which the first is the default one. Needs a running loop.

        Raises:
            ConfigurationError: a provider cannot be set up so.
        """
        self._briefings = briefings
        self._phrases = FixedPhrases()
        self._in_use: set[tuple[object, ...]] = set()
        leases = pool.leases([each.configuration.settings for each in briefings])
        self._agents = [
            self._build(briefing, lease, voice_activity) for briefing, lease in zip(briefings, leases, strict=True)
        ]

    @property
    def default(self) -> Agent:
        return self._agents[0]

    @property
    def names(self) -> list[str]:
        """Of all agents, in the order in which they are asked; the default one first, though it is asked last."""
        return [agent.name for agent in self._agents]

    def choose(self, info: CallInfo) -> Agent:
        """The agent that the call's parameters name, else the first that its dialled user matches, else the default."""
        named = next((info.parameters[name] for name in NAMING_PARAMETERS if name in info.parameters), None)
        if named is not None:
            agent = next((agent for agent in self._agents if agent.name == named), None)
            if agent is not None:
                return agent
            log.warning("no agent has the name that the call asks for")
        others = list(zip(self._briefings, self._agents, strict=True))[1:]
        matching = (agent for briefing, agent in others if briefing.configuration.matches(info.called))
        return next(matching, self.default)

    def take_over(self, earlier: "AgentDirectory") -> None:
        """Keeps what the same voices have said for another configuration, and waits for no provider of it."""
        self._phrases.take_over(earlier._phrases)
        self._in_use = {agent.lease.members(stage) for agent in earlier._agents for stage in STAGES}

    async def ready(self) -> None:
        """Returns once the next caller would be answered as fast as any: providers are ready, phrases rendered."""
        while self.not_ready:  # noqa: ASYNC110  a provider says so only when it is asked
            await asyncio.sleep(READY_POLL_S)
        await self._phrases.render_for_phones()

    @property
    def not_ready(self) -> list[str]:
        """The stages that cannot serve yet, and whose agent they are of."""
        return [
            f"{stage.section} of {agent.name}"
            for agent in self._agents
            for stage, ready in zip(STAGES, agent.conversations.providers.ready().values(), strict=True)
            if not ready and agent.lease.members(stage) not in self._in_use
        ]

    async def greet(self) -> None:
        """Renders the default agent's greeting, waiting for its voice as long as it takes."""
        await self._phrases.render_first()

    async def render(self) -> None:
        """Renders everything that is always said alike."""
        await self._phrases.render()

    async def close(self) -> None:
        """No call is given to these agents any more."""
        for agent in self._agents:
            await agent.lease.release()

    def _build(self, briefing: Briefing, lease: Lease, voice_activity: VoiceActivity) -> Agent:
        settings = briefing.configuration.settings
        llm = settings[LlmSettings]
        conversations = Conversations(
            lease.providers,
            self._phrases.book(lease, briefing.fixed_phrases),
            settings[AudioSettings],
            GenerationParameters(llm.max_tokens, llm.temperature, llm.top_p),
            voice_activity,
        )
        return Agent(
            briefing.configuration.name, conversations, briefing.dialogue, settings[AsrSettings].phrases, lease
        )
