"""A model's chat template, rendered so that what people say can never pose as the template's own markup.

Templates are Jinja, as Hugging Face's tokenizers and GGUF's `tokenizer.chat_template` carry them. They are rendered
with marks in place of the contents; the text between the marks is markup, each mark stands for one content.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from services.llm.engine import Message, PromptRefused

# Private-use characters: no template trims, splits or escapes them.
_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000([0-9]+)\ue001")


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the prompt: `markup` is the template's and may name control tokens, the rest is only text."""

    text: str
    markup: bool


class ChatTemplate:
    """One template.

    Raises:
        ValueError: it is no template, or leaves out what the user says.
    """

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals.update(raise_exception=_raise_exception, bos_token=bos, eos_token=eos)
        try:
            self._template = environment.from_string(source)
            segments = self.render([Message("user", "?")])
        except (jinja2.TemplateError, PromptRefused) as error:
            raise ValueError(f"the chat template cannot be used: {error}") from error
        if Segment("?", markup=False) not in segments:
            raise ValueError("the chat template leaves out what the user says")

    def render(self, messages: Sequence[Message]) -> list[Segment]:
        """The prompt up to where the assistant's answer begins.

        Raises:
            PromptRefused: the template does not take these roles in this order.
        """
        marked = [{"role": message.role, "content": _MARK.format(i)} for i, message in enumerate(messages)]
        try:
            text = self._template.render(messages=marked, add_generation_prompt=True)
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise PromptRefused(str(error)) from error
        # Splitting at a pattern with one group puts the indices of the marks at the odd places.
        parts = _MARKS.split(text)
        return [
            Segment(messages[int(part)].content if i % 2 else part, markup=i % 2 == 0)
            for i, part in enumerate(parts)
            if part
        ]

    def render_prefix(self, messages: Sequence[Message]) -> list[Segment]:
        """What comes before the content of a user's message that follows these.

        Raises:
            PromptRefused
        """
        segments = self.render([*messages, Message("user", "")])
        last_content = max(i for i, segment in enumerate(segments) if not segment.markup)
        return segments[:last_content]


def _raise_exception(reason: str) -> NoReturn:
    raise jinja2.TemplateError(reason)
