"""What the llm service counts for Prometheus, beside what every RPC counts."""

from prometheus_client import Counter, Histogram

from services.common.metrics import REGISTRY
from services.llm.generation import Finish, Usage

TOKENS = Counter(
    "oavc_llm_tokens_total",
    "Tokens: of prompts evaluated, of prompts found in the cache, of answers.",
    ("kind",),
    registry=REGISTRY,
)
ANSWERS = Counter("oavc_llm_answers_total", "Answers by how they ended.", ("finish",), registry=REGISTRY)
REFUSED = Counter("oavc_llm_refused_total", "Requests refused because the queue was full.", registry=REGISTRY)
FIRST_TOKEN = Histogram(
    "oavc_llm_first_token_seconds",
    "Time from a request to the first token of its answer, waiting included.",
    registry=REGISTRY,
    buckets=(0.02, 0.04, 0.06, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4),
)


def count_answer(finish: Finish, usage: Usage) -> None:
    ANSWERS.labels(finish.value).inc()
    TOKENS.labels("prompt").inc(usage.prompt_tokens - usage.cached_tokens)
    TOKENS.labels("cached").inc(usage.cached_tokens)
    TOKENS.labels("completion").inc(usage.completion_tokens)
    if usage.completion_tokens:
        FIRST_TOKEN.observe(usage.first_token_s)
