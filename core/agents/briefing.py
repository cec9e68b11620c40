"""An agent's configuration with the file of what it knows read: all that can be wrong before anything is built."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.agents.settings import PREFIX, AgentConfiguration
from core.dialogue.dialogue import Dialogue, fixed_phrases
from core.dialogue.http_tool import HttpToolSettings
from core.dialogue.knowledge import Knowledge, KnowledgeError, load
from core.dialogue.settings import DialogueSettings, SessionSettings
from services.common.settings import ConfigurationError


@dataclass(frozen=True, slots=True)
class Briefing:
    """What an agent is to be, and what it knows."""

    configuration: AgentConfiguration
    knowledge: Knowledge

    @property
    def fixed_phrases(self) -> list[str]:
        """What it may say word for word, the most urgent first."""
        settings = self.configuration.settings
        return fixed_phrases(settings[SessionSettings], settings[DialogueSettings], self.knowledge)

    def dialogue(self) -> Dialogue:
        """For a new call."""
        settings = self.configuration.settings
        return Dialogue(
            settings[SessionSettings], settings[DialogueSettings], self.knowledge, settings[HttpToolSettings]
        )


def brief(default: AgentConfiguration, agents: Sequence[AgentConfiguration]) -> list[Briefing]:
    """The default agent's briefing, then the others'. Reads each file once.

    Raises:
        ConfigurationError: every file of knowledge that cannot be read.
    """
    read: dict[Path | None, Knowledge] = {None: Knowledge([])}
    problems: dict[Path, str] = {}
    for each in (default, *agents):
        path = each.settings[DialogueSettings].knowledge
        if path is None or path in read or path in problems:
            continue
        try:
            read[path] = load(path)
        except KnowledgeError as error:
            whose = "" if each is default else f"{PREFIX}{each.name}: "
            problems[path] = f"{whose}dialogue.knowledge: {error}"
    if problems:
        raise ConfigurationError(list(problems.values()))
    return [Briefing(each, read[each.settings[DialogueSettings].knowledge]) for each in (default, *agents)]
