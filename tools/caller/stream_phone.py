"""The media of one phone behind Twilio, as messages (Twilio, "Media Streams - WebSocket Messages")."""

import base64
import binascii
import json
from collections import deque
from collections.abc import Mapping
from typing import Any

from tools.caller.ear import Ear
from tools.caller.impairments import Impairments
from tools.caller.script import CallScript
from tools.caller.stream_messages import CONNECTED, StreamMessages
from tools.caller.stream_playback import Playback
from tools.caller.trace import PTIME_MS, SentPacket, Trace
from tools.caller.voice import Block, Voice

_NS_PER_MS = 1_000_000
# A key is held for as long, and so is the pause before the next one.
_KEY_TICKS = 8


class StreamPhone:
    """One call's media, whichever socket carries them, without any I/O of its own.

    `say`, `press` and the attributes are for the script's thread, the rest for the wire's. Times are the trace's.

    Attributes:
        sending: False while the caller is mute: Twilio goes on sending silence.
    """

    def __init__(self, script: CallScript, stream: int) -> None:
        self._voice = Voice("PCMU", script.network, stream)
        self._impairments = Impairments(script.network, stream)
        self._speech: deque[Block] = deque()
        self._keys: deque[str] = deque()
        self._key_ticks = 0
        self._messages: StreamMessages | None = None
        self._stream_sid = ""
        self._ticks = 0
        self._outgoing: deque[tuple[int, str]] = deque()
        self._released_ns = 0
        self.ear = Ear()
        self.trace = Trace(codec="PCMU")
        self._playback = Playback(self.trace, self.ear)
        self.sending = True

    def say(self, pcm: bytes, utterance: int | None) -> None:
        """Queues 16-bit PCM at 8 kHz behind what is still being said."""
        self._speech.extend(self._voice.speech(pcm, utterance))

    def press(self, digits: str) -> None:
        """Queues key presses; nothing is said meanwhile."""
        self._keys.extend(digits)

    @property
    def busy(self) -> bool:
        """Whether something queued has not gone out yet."""
        return bool(self._speech or self._keys or self._key_ticks)

    def begin(
        self, account_sid: str, call_sid: str, stream_sid: str, parameters: Mapping[str, str], now_ns: int
    ) -> None:
        """A stream begins: what was on its way on an earlier one is lost."""
        self._messages = StreamMessages(account_sid, call_sid, stream_sid, parameters)
        self._stream_sid = stream_sid
        self._ticks = 0
        self._outgoing.clear()
        self._released_ns = 0
        self._send(CONNECTED, now_ns)
        self._send(self._messages.start(), now_ns)

    def end(self, now_ns: int) -> str | None:
        """Nothing is played any more; the stream's last message, None where none has begun."""
        self._playback.advance(now_ns)
        self._playback.clear(now_ns)
        messages, self._messages = self._messages, None
        return messages.stop() if messages else None

    def tick(self, now_ns: int) -> None:
        """Called every 20 ms: what the caller says now is on its way."""
        messages = self._messages
        if messages is None:
            return
        block = self._next_block(messages, now_ns)
        delay_ns = round(self._impairments.stream_delay_ms() * _NS_PER_MS)
        self._send(messages.media(block.payload, self._ticks * PTIME_MS), now_ns, delay_ns)
        self._ticks += 1
        sent = SentPacket(now_ns, block.payload, block.level_dbfs, block.utterance, delivered=True)
        self.trace.sent.append(sent)
        if sent.audible:
            self._playback.caller_active(now_ns)

    def receive(self, text: str, at_ns: int) -> None:
        """One message of the agent's. One that Twilio would not understand is counted, and does nothing."""
        self.advance(at_ns)
        try:
            message = json.loads(text)
            if message["streamSid"] != self._stream_sid:
                raise ValueError("another stream's")
            self._act(message, at_ns)
        except (ValueError, KeyError, TypeError, binascii.Error):
            self.trace.discarded += 1

    def advance(self, now_ns: int) -> None:
        """Plays up to a moment."""
        self._return_marks(self._playback.advance(now_ns), now_ns)

    def outgoing(self, now_ns: int) -> list[str]:
        """The messages that leave now."""
        texts = []
        while self._outgoing and self._outgoing[0][0] <= now_ns:
            texts.append(self._outgoing.popleft()[1])
        return texts

    @property
    def next_due_ns(self) -> int | None:
        """When there is something to do before the next tick, None where there is not."""
        held_ns = self._outgoing[0][0] if self._outgoing else None
        return min((due for due in (held_ns, self._playback.next_due_ns) if due is not None), default=None)

    def _next_block(self, messages: StreamMessages, now_ns: int) -> Block:
        if self._key_ticks:
            self._key_ticks -= 1
        elif self._keys and self.sending:
            # Twilio takes the tones out of the audio.
            self._key_ticks = 2 * _KEY_TICKS - 1
            self._send(messages.dtmf(self._keys.popleft()), now_ns)
            self._playback.caller_active(now_ns)
        elif self._speech and self.sending:
            return self._speech.popleft()
        return self._voice.silence()

    def _act(self, message: Mapping[str, Any], at_ns: int) -> None:
        match message["event"]:
            case "media":
                self._playback.put(base64.b64decode(message["media"]["payload"], validate=True), at_ns)
                self.advance(at_ns)
            case "mark":
                self._playback.mark(str(message["mark"]["name"]), at_ns)
                self.advance(at_ns)
            case "clear":
                self._return_marks(self._playback.clear(at_ns), at_ns)
            case event:
                raise ValueError(f"Twilio takes no {event!r}")

    def _return_marks(self, names: list[str], at_ns: int) -> None:
        if self._messages is not None:
            for name in names:
                self._send(self._messages.mark(name), at_ns)

    def _send(self, text: str, now_ns: int, delay_ns: int = 0) -> None:
        """What comes later waits for what is held up before it: that is TCP."""
        self._released_ns = max(self._released_ns, now_ns + delay_ns)
        self._outgoing.append((self._released_ns, text))
