"""What the agent says of its own accord, what it knows, and what it may do."""

from pathlib import Path
from typing import ClassVar, Literal

from services.common.settings import Section, key

PERSONA = (
    "You are a friendly receptionist on the telephone. Answer in one short sentence. "
    "Never invent prices, times, names or numbers. If you do not know, say that you do not know."
)


class SessionSettings(Section):
    """Persona and greeting, as deployed configurations name them."""

    section: ClassVar[str] = "session"
    system_prompt: str = key(PERSONA, env="SYSTEM_PROMPT", help="Persona and rules of the language model")
    max_conversation_length: int = key(10, ge=0, le=200, help="Earlier messages of the call that the model is shown")
    welcome_message: str = key(
        "Hello! How can I help you?",
        env="WELCOME_MESSAGE",
        help="Greeting as soon as the call is answered; empty means that the caller speaks first",
    )


ToolName = Literal["hang_up", "transfer", "look_up", "send_digits", "http_tool"]


class DialogueSettings(Section):
    """Knowledge, fixed phrases, idle callers, keys, transfer and tools."""

    section: ClassVar[str] = "dialogue"
    knowledge: Path | None = key(None, env="KNOWLEDGE_FILE", help="Questions and answers, and passages, in Markdown")
    answer_threshold: float = key(
        0.6, ge=0, le=1, help="Likeness to a known question from which its answer is given word for word"
    )
    retrieval_threshold: float = key(
        0.25, ge=0, le=1, help="Likeness from which the model is shown a passage or an answer"
    )
    grounded: bool = key(
        True, help="Hold back a clause of the model's that names a number, day, price or name nobody gave it"
    )
    max_sentences: int = key(2, ge=1, le=50, help="Sentences of the model's that are spoken in one answer")
    way_out_message: str = key(
        "I am sorry, I do not know that. Is there anything else I can help you with?",
        help="Answer where neither the knowledge nor the model knows",
    )
    apology_message: str = key(
        "I am sorry, I have a technical problem. One moment, please.",
        help="Said when a service fails in the middle of a call",
    )
    filler_message: str = key("One moment, please.", help="Said when the answer takes long; empty: nothing")
    filler_after_ms: int = key(1500, unit="ms", ge=100, le=30000, help="How long the caller waits for an answer")
    answer_timeout_s: float = key(
        8.0,
        unit="s",
        gt=0,
        le=600,
        help="How long the answer, or its next words, may keep the caller waiting before the apology",
    )
    goodbye_message: str = key("Thank you for calling. Goodbye!", help="Said before hanging up")
    idle_prompt: str = key("Are you still there?", help="Said when the caller has been silent")
    idle_timeout_s: float = key(
        10.0, unit="s", ge=0, le=600, help="Silence of the caller, from the end of what they heard; 0: never"
    )
    idle_prompts: int = key(2, ge=0, le=10, help="Prompts before the agent says goodbye and hangs up")
    transfer_target: str = key(
        "", env="TRANSFER_TARGET", help="SIP URI or number for callers who ask for a person; empty: nobody"
    )
    transfer_message: str = key("I will put you through.", help="Said before the transfer")
    no_transfer_message: str = key(
        "I am sorry, nobody is available right now. Can I help you with something else?",
        help="Answer to callers who ask for a person where no transfer is configured, or it failed",
    )
    transfer_digit: str = key("0", pattern=r"^[0-9*#A-D]?$", help="Key that asks for a person; empty: none")
    digits_timeout_s: float = key(
        2.0,
        unit="s",
        gt=0,
        le=30,
        help="Pause after which the keys pressed so far are taken as a whole; # ends it too",
    )
    tools: tuple[ToolName, ...] = key(
        ("hang_up", "transfer", "look_up", "http_tool"),
        help="What the model may ask for, where it applies: transfer with transfer_target, look_up with knowledge, "
        "http_tool with [http_tool], send_digits anywhere; empty: nothing",
    )
