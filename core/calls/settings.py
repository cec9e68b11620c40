"""How many calls are taken, and how long one may last."""

from typing import ClassVar

from services.common.settings import Section, key


class CallSettings(Section):
    """Limits, as deployed configurations name them."""

    section: ClassVar[str] = "performance"
    max_concurrent_sessions: int = key(
        10, env="MAX_CONCURRENT_SESSIONS", ge=1, le=10000, help="Calls at a time; further ones are answered 503"
    )
    session_timeout_minutes: float = key(
        30.0, unit="min", gt=0, le=1440, help="Length of a call after which the agent says goodbye"
    )
    memory_limit_mb: int = key(
        512, unit="MB", ge=64, help="Resident memory of this process above which further calls are answered 503"
    )
    drain_timeout_s: float = key(
        30.0, env="DRAIN_TIMEOUT_S", unit="s", ge=0, le=86400, help="How long calls may go on after SIGTERM"
    )
    call_history: int = key(100, ge=0, le=10000, help="Ended calls that the management interface remembers")
