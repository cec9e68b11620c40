"""The handler on a call's leg: however one of them ends, so does the other, and nothing else."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from core.errors import ConnectorError
from core.leg import CallLeg, EndReason

_log = logging.getLogger(__name__)

# A conversation that does not end with its leg is cancelled after this.
HANDLER_GRACE_S = 30.0

Leg = TypeVar("Leg", bound=CallLeg)


async def converse(handler: Callable[[Leg], Awaitable[None]], leg: Leg) -> None:
    """Runs the handler; however it ends, the call ends with it."""
    try:
        await handler(leg)
    except ConnectorError as error:
        _log.info("call ended by an error", extra={"reason": str(error)})
        await leg.reject(error)
    except Exception as error:
        _log.exception("conversation failed")
        await leg.reject(error)
    finally:
        await leg.hang_up(EndReason.AGENT_HUNG_UP)


async def either_over(conversation: asyncio.Task[None], leg_over: asyncio.Task[object]) -> None:
    """Returns once the conversation is over, or was cancelled some time after its leg was."""
    await asyncio.wait({conversation, leg_over}, return_when=asyncio.FIRST_COMPLETED)
    await asyncio.wait({conversation}, timeout=HANDLER_GRACE_S)
    if conversation.cancel():
        _log.warning("conversation outlived its call")
