"""OpenSIPS' commands for UA sessions (modules/b2b_entities/ua_api.c), with what each may be trusted to do."""

import re
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from core.errors import SignallingError, SignallingRefused
from core.transports.opensips.mi import MiClient
from core.transports.opensips.sip import header_value

_NO_SUCH_SESSION = (400, 404)
_SESSION_KEY = re.compile(r"[^.\s]+\.\d+\.\d+\.(\d{1,12})\.\d+")

Headers = Iterable[tuple[str, str]]


class SessionState(IntEnum):
    """States as `ua_session_list` numbers them; others exist and mean a session that is up."""

    NEW = 1
    NEW_AUTHENTICATED = 2
    CONFIRMED = 4
    ESTABLISHED = 5
    TERMINATED = 7


class UaSessions:
    """Commands, each for the session of one key.

    Those that are safe to repeat are sent twice before they raise `SignallingTimeout`: OpenSIPS takes the
    second 200 for a retransmission, and a session that is terminated twice is gone all the same.
    """

    def __init__(self, mi: MiClient) -> None:
        self._mi = mi

    async def reply(
        self, key: str, method: str, status: int, reason: str, *, sdp: str = "", headers: Headers = ()
    ) -> None:
        """Answers a request of the caller's.

        Raises:
            SignallingRefused: no such request waits for a reply.
            SignallingTimeout: OpenSIPS did not answer.
        """
        params = {"key": key, "method": method, "code": status, "reason": header_value(reason) or "-"}
        params |= _extras(sdp, "", headers)
        await self._mi.call("ua_session_reply", params, repeatable=True)

    async def request(
        self, key: str, method: str, *, body: str = "", content_type: str = "", headers: Headers = ()
    ) -> None:
        """Sends a request to the caller; its outcome comes as an event. Sent once: a second one would be heard.

        Raises:
            SignallingRefused: the session is not up.
            SignallingTimeout: OpenSIPS did not answer; the request may have gone out.
        """
        params = {"key": key, "method": method} | _extras(body, content_type, headers)
        await self._mi.call("ua_session_update", params)

    async def terminate(self, key: str) -> None:
        """Ends a session that is up with a BYE, and frees one that was refused or cancelled.

        Raises:
            SignallingRefused: there is none, or it has not been answered yet and stays as it is.
            SignallingTimeout: OpenSIPS did not answer.
        """
        # Never with headers: OpenSIPS would put uninitialised memory on the wire in their place.
        await self._mi.call("ua_session_terminate", {"key": key}, repeatable=True)

    def post_terminate(self, key: str) -> None:
        """`terminate` for where nothing can be awaited any more."""
        self._mi.post("ua_session_terminate", {"key": key})

    async def state(self, key: str) -> int | None:
        """None where OpenSIPS holds no such session.

        Raises:
            SignallingError: it did not say.
        """
        try:
            session = await self._mi.call("ua_session_list", {"key": key}, repeatable=True)
        except SignallingRefused as refusal:
            if refusal.code in _NO_SUCH_SESSION:
                return None
            raise
        return _state(session)

    async def keys(self) -> dict[str, int]:
        """Every session and its state.

        Raises:
            SignallingError: OpenSIPS did not say. From about 150 sessions on it cannot.
        """
        listed = await self._mi.call("ua_session_list", repeatable=True)
        found = {}
        for session in listed if isinstance(listed, list) else ():
            key = session.get("to_tag") if isinstance(session, dict) else None
            if isinstance(key, str) and started_at_s(key) is not None:
                found[key] = _state(session)
        return found

    async def let_go(self, key: str, status: int = 500, reason: str = "Server Internal Error") -> None:
        """Makes OpenSIPS free a session of whatever state; one still unanswered is refused first.

        Raises:
            SignallingError: it is not known to be free.
        """
        try:
            await self.terminate(key)
            return
        except SignallingRefused:
            state = await self.state(key)
        if state is None:
            return
        if state in (SessionState.NEW, SessionState.NEW_AUTHENTICATED):
            await self.reply(key, "INVITE", status, reason)
        try:
            await self.terminate(key)
        except SignallingRefused:
            if await self.state(key) is not None:
                raise


def started_at_s(key: str) -> int | None:
    """When the session began, in seconds since 1970, as its key says; None where it is no key of OpenSIPS'."""
    match = _SESSION_KEY.fullmatch(key)
    return int(match.group(1)) if match else None


def _state(session: Any) -> int:
    state = session.get("state") if isinstance(session, dict) else None
    if not isinstance(state, int):
        raise SignallingError("ua_session_list: no state in the reply")
    return state


def _extras(body: str, content_type: str, headers: Headers) -> dict[str, str]:
    """Parameters beyond the mandatory ones. Headers without a body put uninitialised memory on the wire."""
    lines = "".join(f"{name}: {header_value(value)}\r\n" for name, value in headers)
    extras = {}
    if body or lines:
        extras["body"] = body
    if lines:
        extras["extra_headers"] = lines
    if content_type and body:
        extras["content_type"] = f"Content-Type: {content_type}\r\n"
    return extras
