"""One call through OpenSIPS as a `CallLeg`: its dialog, its media, and what the two agreed on."""

import asyncio
import json
import logging
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from core.audio.codecs import create_codec
from core.errors import CallEnded, CallRefused, OfferRejected
from core.leg import (
    AudioReceived,
    CallInfo,
    DigitReceived,
    EndReason,
    HoldChanged,
    LegEnded,
    LegEvent,
    LegStatistics,
)
from core.media.inbox import MediaInactive
from core.media.plane import MediaPlane
from core.media.stream import MediaStream
from core.sdp import offer_answer
from core.sdp.body import extract_sdp
from core.sdp.offer_answer import LocalMedia, Negotiated
from core.transports.opensips.dialog import Dialog, DialogState
from core.transports.opensips.events import UaSessionEvent
from core.transports.opensips.interface import interface_towards
from core.transports.opensips.requests import refusal_headers
from core.transports.opensips.sip import called_of, caller_of, parse_address
from core.transports.opensips.ua_sessions import Headers

_log = logging.getLogger(__name__)

# A port nobody sends from: what an offer is tried against before a real one is taken for it.
_DISCARD_PORT = 9
_SIGNALS_MAX = 64
# Documentation prefix (RFC 5737): a route towards it is the default route, and nothing is sent.
_ANYWHERE = "192.0.2.1"


@dataclass(frozen=True, slots=True)
class LocalSide:
    """What every call's answer has in common. `address` is "" for the interface towards the caller."""

    address: str
    codecs: tuple[str, ...]


def call_info(invite: UaSessionEvent) -> CallInfo:
    """Who calls whom, from an INVITE's headers and what the script passed along."""
    return CallInfo(
        call_id=uuid.uuid4().hex,
        transport="opensips",
        caller=caller_of(invite.headers),
        called=called_of(invite.headers),
        headers=invite.headers,
        parameters=_parameters(invite.extra_params),
    )


class OpenSipsLeg:
    """A `CallLeg`. Its dialog is attached right after it is made, and calls back as its `DialogUser`."""

    dialog: Dialog

    def __init__(self, invite: UaSessionEvent, plane: MediaPlane, local: LocalSide) -> None:
        self._info = call_info(invite)
        self._invite = invite
        self._plane = plane
        self._local = local
        self._session_id = uuid.uuid4().int >> 66
        self._stream: MediaStream | None = None
        self._media: LocalMedia | None = None
        self._negotiated: Negotiated | None = None
        self._connected = False
        self._held = False
        self._signals: deque[LegEvent] = deque(maxlen=_SIGNALS_MAX)
        self._last: LegEnded | None = None
        self._interruption: asyncio.Timeout | None = None

    @property
    def info(self) -> CallInfo:
        return self._info

    @property
    def sample_rate_hz(self) -> int:
        negotiated = self._negotiated
        return 8000 if negotiated is None else negotiated.parameters.codec.sample_rate_hz

    async def answer(self) -> None:
        """As the seam says. Raises `CallRefused` as well, for `reject`: an unusable offer, or no free port."""
        if self._last is not None:
            raise CallEnded("the caller gave up")
        offer = extract_sdp(self._invite.headers.get("content-type", ""), self._invite.body.encode()).decode()
        address = self._local.address
        if offer:
            # Tried before a port is taken: ports rest after use, and bad offers could exhaust them.
            trial = LocalMedia(address or _ANYWHERE, _DISCARD_PORT, self._session_id, self._local.codecs)
            remote_ip, _ = offer_answer.answer(offer, trial).parameters.remote_address
            address = address or interface_towards(remote_ip)
        else:
            address = address or interface_towards(_ANYWHERE)
        stream = self._plane.open()
        self._stream = stream
        self._media = LocalMedia(address, stream.local_port, self._session_id, self._local.codecs)
        try:
            if offer:
                self._negotiated = offer_answer.answer(offer, self._media)
                await self.dialog.accept(self._negotiated.answer_sdp, is_offer=False)
            else:
                # The rate is fixed by our 200, the answer comes after it: only what every phone speaks is offered.
                self._fix_rate()
                await self.dialog.accept(offer_answer.offer(self._media), is_offer=True)
        except BaseException:
            stream.close()
            raise
        self._fix_rate()
        self.confirmed()
        self._up()

    async def reject(self, refusal: Exception) -> None:
        if isinstance(refusal, CallRefused):
            headers: Headers = refusal_headers(refusal) if isinstance(refusal, OfferRejected) else ()
            if refusal.retry_after_s is not None:
                headers = [("Retry-After", str(refusal.retry_after_s))]
            self.dialog.refuse(refusal.sip_status, refusal.reason, headers, end=EndReason.ERROR)
        else:
            self.dialog.refuse(500, "Server Internal Error", end=EndReason.ERROR, detail=type(refusal).__name__)

    async def receive(self) -> LegEvent:
        while True:
            if self._signals:
                return self._signals.popleft()
            if self._last is not None:
                return self._last
            try:
                async with asyncio.timeout(None) as self._interruption:
                    heard = await self._heard()
            except (TimeoutError, CallEnded):
                continue
            finally:
                self._interruption = None
            if isinstance(heard, MediaInactive):
                self.dialog.hang_up(EndReason.MEDIA_TIMEOUT, f"no media for {heard.silent_for_s:.0f} s")
            else:
                return heard

    async def play(self, pcm: bytes) -> None:
        await self._up().play(pcm)

    def clear_playback(self) -> None:
        if self._stream is not None:
            self._stream.clear()

    @property
    def queued_ms(self) -> float:
        return 0.0 if self._stream is None else self._stream.queued_ms

    @property
    def played_ms(self) -> float:
        return 0.0 if self._stream is None else self._stream.played_ms

    async def send_digits(self, digits: str) -> None:
        self._up().send_digits(digits)

    async def transfer(self, target: str) -> None:
        self._up()
        await self.dialog.transfer(self._uri(target))

    async def hang_up(self, reason: EndReason) -> None:
        self.dialog.hang_up(reason)

    def statistics(self) -> LegStatistics:
        return LegStatistics() if self._stream is None else self._stream.statistics()

    # What the audit asks.

    @property
    def in_call(self) -> bool:
        return self.dialog.state in (DialogState.ANSWERED, DialogState.CONFIRMED)

    def packets_received(self) -> int:
        return self.statistics().packets_received

    def lost(self) -> None:
        self.dialog.lost()

    # What the dialog tells.

    def offered(self, sdp: str) -> str:
        assert self._media is not None
        return self._agreed(offer_answer.answer(sdp, self._media, self._negotiated)).answer_sdp

    def offer(self) -> str:
        assert self._media is not None
        return offer_answer.offer(self._media, self._negotiated)

    def answered(self, sdp: str) -> None:
        assert self._media is not None
        self._agreed(offer_answer.accept(sdp, self._media, self._negotiated))

    def confirmed(self) -> None:
        """From the answer on media flows, whichever is seen first: that OpenSIPS took it, or the ACK to it."""
        if self._negotiated is not None and not self._connected:
            try:
                self._connect(self._negotiated)
            except OfferRejected as error:
                self.dialog.hang_up(EndReason.ERROR, error.reason)

    def digit(self, digit: str) -> None:
        self._signal(DigitReceived(digit))

    def ended(self, reason: EndReason, detail: str) -> None:
        self._last = LegEnded(reason, detail)
        if self._stream is not None:
            self._stream.close()
        self._interrupt()

    def _fix_rate(self) -> None:
        """From the answer on only codecs of one sample rate are spoken: the conversation hears and speaks at it."""
        assert self._media is not None
        rate_hz = self.sample_rate_hz
        kept = tuple(name for name in self._media.codecs if create_codec(name).sample_rate_hz == rate_hz)
        self._media = replace(self._media, codecs=kept)

    def _agreed(self, negotiated: Negotiated) -> Negotiated:
        self._connect(negotiated)
        self._negotiated = negotiated
        return negotiated

    def _connect(self, negotiated: Negotiated) -> None:
        if self._stream is None or self._last is not None:
            return
        try:
            self._stream.connect(negotiated.parameters)
        except OSError as error:
            raise OfferRejected(488, "Unusable media address") from error
        self._connected = True
        if negotiated.held != self._held:
            self._held = negotiated.held
            self._signal(HoldChanged(negotiated.held))

    async def _heard(self) -> AudioReceived | DigitReceived | MediaInactive:
        if self._stream is not None and self._connected:
            return await self._stream.receive()
        # Nothing can be heard before the answer: only an interruption ends this.
        never: asyncio.Future[AudioReceived] = asyncio.get_running_loop().create_future()
        return await never

    def _up(self) -> MediaStream:
        if self._last is not None:
            raise CallEnded(f"the call has ended: {self._last.reason.value}")
        if self._stream is None or not self._connected:
            raise CallEnded("the call is not answered")
        return self._stream

    def _signal(self, event: LegEvent) -> None:
        self._signals.append(event)
        self._interrupt()

    def _interrupt(self) -> None:
        """Lets a waiting `receive` look again; what its stream had for it stays there."""
        if self._interruption is not None and not self._interruption.expired():
            self._interruption.reschedule(asyncio.get_running_loop().time())

    def _uri(self, target: str) -> str:
        """A plain number is called where the caller called us."""
        if ":" in target:
            return target
        host = parse_address(self._info.headers.get("to", "")).host
        return f"sip:{target}@{host}"


def _parameters(extra_params: str) -> Mapping[str, str]:
    """The script's JSON object; a null pseudo-variable arrives as the text `<null>`, and counts as none."""
    try:
        given = json.loads(extra_params)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(given, dict):
        return {}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
