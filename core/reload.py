"""The configuration in force: who answers calls now, and how a changed file takes over without a restart."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from core.agents.briefing import Briefing, brief
from core.agents.directory import AgentDirectory
from core.calls.agent import Agent
from core.leg import CallInfo
from core.observability import metrics
from core.settings import Configuration, changed_for_a_restart
from services.common.settings import ConfigurationError

log = logging.getLogger(__name__)

# How long the old configuration stays in force while the new one's providers connect and its phrases are rendered.
TAKE_OVER_TIMEOUT_S = 30.0
NOT_RELOADED = "configuration not reloaded"


class ConfigurationInForce:
    """Chooses the agent of each call; `run` brings its agents up, and then those of each file that is asked for.

    What a file changes for the process itself waits for a restart. A file that cannot be right changes nothing.
    """

    def __init__(
        self,
        configuration: Configuration,
        read: Callable[[], Configuration],
        build: Callable[[Sequence[Briefing]], AgentDirectory],
    ) -> None:
        """Builds the first agents.

        Raises:
            ConfigurationError: a file of knowledge cannot be read, or a provider cannot be set up so.
        """
        self._read = read
        self._build = build
        self._started_with = configuration.settings
        self._requested = asyncio.Event()
        self._directory = build(_briefings(configuration))
        self.rehearsed = False
        _note(configuration)

    @property
    def default(self) -> Agent:
        return self._directory.default

    def choose(self, info: CallInfo) -> Agent:
        return self._directory.choose(info)

    def request_reload(self) -> None:
        """Reads the file again, soon. Further requests until then are one; one that comes later wins over it."""
        self._requested.set()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            bringing_up = group.create_task(self._bring_up(self._directory), name="bring up")
            while True:
                await self._requested.wait()
                self._requested.clear()
                found = await self._next()
                if found is None:
                    continue
                configuration, directory = found
                old, self._directory = self._directory, directory
                self._tell(configuration)
                bringing_up.cancel()
                await asyncio.wait({bringing_up})
                bringing_up = group.create_task(self._bring_up(directory), name="bring up")
                await old.close()

    async def _bring_up(self, directory: AgentDirectory) -> None:
        """Makes the first call as quick as any, then renders what is always said alike."""
        await directory.greet()
        if not self.rehearsed:
            try:
                await directory.default.conversations.rehearse(directory.default.make_dialogue())
            except Exception:
                # The first caller waits a little longer for the greeting; that is no reason to take no calls.
                log.exception("rehearsal failed")
            self.rehearsed = True
        await directory.render()

    async def _next(self) -> tuple[Configuration, AgentDirectory] | None:
        """The file as it is now, and its agents, once they are ready to take over; None where they shall not."""
        try:
            # It may import a provider's library, which must not hold up calls.
            configuration, briefings = await asyncio.to_thread(self._read_again)
            directory = self._build(briefings)
        except ConfigurationError as error:
            for problem in error.problems:
                log.error(NOT_RELOADED, extra={"problem": problem})
            metrics.RELOADS.labels("refused").inc()
            return None
        except Exception:
            log.exception(NOT_RELOADED)
            metrics.RELOADS.labels("refused").inc()
            return None
        directory.take_over(self._directory)
        if await self._superseded(directory):
            await directory.close()
            log.info(NOT_RELOADED, extra={"problem": "the file is to be read once more"})
            metrics.RELOADS.labels("superseded").inc()
            return None
        return configuration, directory

    def _tell(self, configuration: Configuration) -> None:
        changed = changed_for_a_restart(self._started_with, configuration.settings)
        if changed:
            log.warning("settings wait for a restart", extra={"keys": ", ".join(changed)})
        _note(configuration)
        metrics.RELOADS.labels("reloaded").inc()
        log.info("configuration reloaded", extra={"agents": ", ".join(self._directory.names)})

    def _read_again(self) -> tuple[Configuration, list[Briefing]]:
        configuration = self._read()
        return configuration, _briefings(configuration)

    async def _superseded(self, directory: AgentDirectory) -> bool:
        """Waits until it is ready, for as long as may be; whether the file is asked for again meanwhile."""
        ready = asyncio.get_running_loop().create_task(directory.ready(), name="getting ready")
        again = asyncio.get_running_loop().create_task(self._requested.wait(), name="asked again")
        try:
            await asyncio.wait({ready, again}, timeout=TAKE_OVER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ready, again):
                task.cancel()
            await asyncio.gather(ready, again, return_exceptions=True)
        if ready.cancelled() and not self._requested.is_set():
            fields = {"waited_s": TAKE_OVER_TIMEOUT_S, "not_ready": ", ".join(directory.not_ready) or "phrases"}
            log.warning("configuration takes over before it is ready", extra=fields)
        return self._requested.is_set()


def _briefings(configuration: Configuration) -> list[Briefing]:
    return brief(configuration.default, configuration.agents)


def _note(configuration: Configuration) -> None:
    metrics.CONFIGURATION_SINCE.set(time.time())
    for told in configuration.unread:
        log.warning("variable that nobody reads", extra={"variable": told})
    for agent in configuration.agents:
        if agent.ignored:
            # Names only: among the values are keys of other services.
            fields = {"section": agent.name, "ignored": ", ".join(agent.ignored)}
            log.warning("only match and disabled of this section have an effect", extra=fields)
