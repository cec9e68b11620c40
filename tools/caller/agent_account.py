"""What the connector says of a call: read from its management interface, never guessed from the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

_TIMEOUT = aiohttp.ClientTimeout(total=3.0)


class AccountError(Exception):
    """The management interface did not answer as it should."""


@dataclass(frozen=True, slots=True)
class AgentTurn:
    """One reply of the agent's.

    Attributes:
        heard: the caller's words as recognised, "" where the agent spoke of its own accord.
        said: what it set out to say; `spoken` is the part that was played.
        interrupted_at_ns: when the connector decided that the caller interrupts, by the system clock.
        stages_ms: how the time from the caller's last word to the agent's first was spent.
    """

    heard: str
    said: str
    spoken: str
    source: str
    interrupted_at_ns: int | None
    stages_ms: Mapping[str, float]

    @property
    def interrupted(self) -> bool:
        return self.interrupted_at_ns is not None


@dataclass(frozen=True, slots=True)
class AgentAccount:
    """One call; `ended` once it is over."""

    call_id: str
    caller: str
    started_at: float
    ended: bool
    end_reason: str | None
    turns: tuple[AgentTurn, ...] = field(default=())
    transport: str = "opensips"


class Management:
    """The management interface of one core.

    Attributes:
        url: of core's HTTP server.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def find(self, caller: str, since: float = 0.0, transport: str | None = None) -> AgentAccount | None:
        """The latest call of that caller, up or ended, that began after a wall-clock time; of one transport, or any.

        Raises:
            AccountError: no answer, or one that cannot be read.
        """
        listed = [*await self._calls("/api/v1/calls"), *await self._calls("/api/v1/calls/recent?limit=1000")]
        found = [
            each
            for each in listed
            if each.caller == caller and each.started_at >= since and transport in (None, each.transport)
        ]
        return max(found, key=lambda each: each.started_at, default=None)

    async def not_ready_because(self) -> str:
        """Why no call would be taken now, "" where one would.

        Raises:
            AccountError: nobody answers.
        """
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as session,
                session.get(f"{self.url}/health/ready") as response,
            ):
                if response.status == 200:
                    return ""
                body = await response.json()
                return "; ".join(map(str, body["reasons"])) or "not ready"
        except aiohttp.ClientConnectorError as error:
            raise AccountError(f"nothing listens on {self.url}") from error
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise AccountError(f"{self.url}: {error or type(error).__name__}") from error

    async def _calls(self, path: str) -> list[AgentAccount]:
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT, headers=self._headers) as session,
                session.get(self.url + path) as response,
            ):
                response.raise_for_status()
                return [_account(each) for each in (await response.json())["calls"]]
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError) as error:
            raise AccountError(f"{self.url}{path}: {error or type(error).__name__}") from error


def _account(body: Mapping[str, Any]) -> AgentAccount:
    return AgentAccount(
        call_id=str(body["call_id"]),
        caller=str(body["caller"]),
        started_at=float(body["started_at"]),
        ended=body["ended_at"] is not None,
        end_reason=body["end_reason"],
        turns=tuple(_turn(each) for each in body["turns"]),
        transport=str(body["transport"]),
    )


def _turn(body: Mapping[str, Any]) -> AgentTurn:
    interrupted_at = body.get("interrupted_at")
    return AgentTurn(
        heard=str(body["heard"]),
        said=str(body["said"]),
        spoken=str(body["spoken"]),
        source=str(body["source"]),
        interrupted_at_ns=None if interrupted_at is None else round(float(interrupted_at) * 1e9),
        stages_ms={str(stage): float(spent) for stage, spent in body["stages_ms"].items()},
    )
