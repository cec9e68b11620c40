"""What a broken or hostile network sends, the same for the same seed: datagrams, events, RTP and offers."""

import asyncio
import json
import random
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from core.rtp.packet import serialise
from tests.integration.core_process import SocketQueue, socket_queue
from tools.caller.offer import make_offer

_BATCH = 50
# What waits in the receiver's buffer while we go on sending.
_WAITING_BYTES = 100_000
_READ_WITHIN_S = 5.0

_ODD_VALUES: tuple[Any, ...] = (
    None, 0, -1, 2**70, 1.5, float("nan"), True, "", " ", "\0", "\ud800", "<null>", "A" * 3000, "\r\n\r\n",
    [], [[]], {}, {"a": {}}, "{}", "9" * 5000, "INVITE\r\nX: y",
)  # fmt: skip


async def shoot(datagrams: Iterable[tuple[socket.socket, bytes]], address: str, port: int) -> SocketQueue:
    """Sends all to one socket, no faster than it is read, so that each is looked at; its queue once it is empty.

    Raises:
        TimeoutError: it is not read any more.
    """
    for number, (source, datagram) in enumerate(datagrams):
        source.sendto(datagram, (address, port))
        if number % _BATCH == 0:
            await read_up_to(_WAITING_BYTES, address, port)
    return await read_up_to(0, address, port)


async def read_up_to(waiting_bytes: int, address: str, port: int) -> SocketQueue:
    """Returns once no more than that waits to be read.

    Raises:
        TimeoutError: it stays.
    """
    async with asyncio.timeout(_READ_WITHIN_S):
        while (queue := socket_queue(address, port)).waiting_bytes > waiting_bytes:
            await asyncio.sleep(0.001)
    return queue


def event(key: str, event_type: str = "NEW", method: str = "INVITE", **more: Any) -> dict[str, Any]:
    """An event as OpenSIPS raises it."""
    headers = (
        f"Via: SIP/2.0/UDP 127.0.0.1:15070;branch=z9hG4bK-1-1-0\r\nFrom: <sip:h4@127.0.0.1:15070>;tag=1t1\r\n"
        f"To: <sip:echo@127.0.0.1:15060>\r\nCall-ID: 1@127.0.0.1\r\nCSeq: 1 {method}\r\n"
        "Content-Type: application/sdp\r\n"
    )
    params = {"key": key, "event_type": event_type, "entity_type": "UAS", "status": 0, "reason": None}
    params |= {"method": method, "body": None, "headers": headers, "extra_params": None} | more
    return {"jsonrpc": "2.0", "method": "E_UA_SESSION", "params": params}


def event_datagrams(seed: int, count: int, live_key: str) -> Iterator[bytes]:
    """Random bytes, damaged events, and well-formed ones of impossible content, some of a call that is up.

    None of them says that the call which is up has ended: that would be OpenSIPS' word.
    """
    source = random.Random(seed)
    offer = make_offer("127.0.0.1", 40000, "PCMU", 1)
    while count:
        number = source.randrange(10**9)
        key = source.choice([live_key, f"B2B.{number % 512}.{number}.1795251300.{number}", "", "x" * 400])
        method = source.choice(["INVITE", "ACK", "BYE", "CANCEL", "INFO", "UPDATE", "REFER", "NOTIFY", "FOO", ""])
        event_type = source.choice(["NEW", "EARLY", "ANSWERED", "REJECTED", "UPDATED", "TERMINATED", "ELSE", ""])
        if key == live_key and (event_type == "TERMINATED" or method in ("INVITE", "UPDATE", "ACK")):
            continue
        message = event(key, event_type, method, body=source.choice([offer, None, "", "v=0"]))
        kind = source.randrange(5)
        if kind == 0:
            datagram = source.randbytes(source.choice([0, 1, 7, 60, 1400, 9000]))
        elif kind == 1:
            message["params"][source.choice([*message["params"], "more"])] = source.choice(_ODD_VALUES)
            datagram = _json(message)
        elif kind == 2:
            message[source.choice(["jsonrpc", "method", "params"])] = source.choice(_ODD_VALUES)
            datagram = _json(message)
        elif kind == 3:
            # Of a session that does not exist: one that is damaged by chance must not end the live one.
            datagram = damage(_json(event("B2B.1.2.1795251300.3", "UPDATED", method)), source)
        else:
            datagram = source.choice([b"[" * 9000, b'{"a":' * 3000, _json([message] * 3), b'"' + b"\xff" * 500])
        count -= 1
        yield datagram


def rtp_datagrams(seed: int, count: int, ssrc: int) -> Iterator[bytes]:
    """Random bytes, damaged packets of the caller's own stream, and whole ones of others."""
    source = random.Random(seed)
    for _ in range(count):
        payload = source.randbytes(source.choice([0, 1, 160, 160, 160, 480, 1400]))
        number, timestamp = source.randrange(65536), source.randrange(2**32)
        kind = source.randrange(4)
        if kind == 0:
            yield source.randbytes(source.choice([0, 1, 11, 12, 172, 1500]))
        elif kind == 1:
            other = source.randrange(2**32)
            yield serialise(source.choice([0, 8, 13, 96, 101, 127]), number, timestamp, other, payload, False)
        else:
            packet = serialise(source.choice([0, 0, 101]), number, timestamp, ssrc, payload, source.random() < 0.5)
            yield damage(packet, source, within=8)


def rtcp_datagrams(seed: int, count: int, ssrc: int) -> Iterator[bytes]:
    """Random bytes and damaged reports; a BYE of the caller's own stream is among them."""
    source = random.Random(seed)
    yield bytes([0x81, 203, 0, 1]) + ssrc.to_bytes(4, "big")
    for _ in range(count - 1):
        packet_type, length = source.randrange(200, 206), source.choice([0, 1, 6, 7, 65535])
        report = bytes([0x80 | source.randrange(32), packet_type]) + length.to_bytes(2, "big")
        report += source.choice([ssrc, source.randrange(2**32)]).to_bytes(4, "big") + source.randbytes(24)
        yield damage(report, source) if source.random() < 0.5 else report


def damage(datagram: bytes, source: random.Random, within: int | None = None) -> bytes:
    """One to three changes: bytes flipped, cut out, doubled, put in, or the end cut off."""
    damaged = bytearray(datagram)
    for _ in range(source.randint(1, 3)):
        at = source.randrange(min(len(damaged), within or len(damaged)) or 1)
        length = source.randrange(20)
        match source.randrange(5):
            case 0 if damaged:
                damaged[at] ^= 1 << source.randrange(8)
            case 1:
                del damaged[at : at + length]
            case 2:
                damaged[at:at] = damaged[at : at + length]
            case 3:
                damaged[at:at] = source.randbytes(length)
            case _:
                del damaged[at + length :]
    return bytes(damaged)


def malformed_offers(seed: int, count: int) -> Iterator[str]:
    """Session descriptions that nobody could answer with a call."""
    source = random.Random(seed)
    for number in range(count):
        spoil = _SPOILERS[number % len(_SPOILERS)]
        yield spoil(make_offer("127.0.0.1", 40000, "PCMU", number), source)


def _replaced(old: str, new: str | Sequence[str]) -> Callable[[str, random.Random], str]:
    def spoil(offer: str, source: random.Random) -> str:
        assert old in offer
        return offer.replace(old, new if isinstance(new, str) else source.choice(new), 1)

    return spoil


def _noise(_offer: str, source: random.Random) -> str:
    return source.randbytes(source.randrange(1, 3000)).decode("latin-1")


def _cut(offer: str, source: random.Random) -> str:
    return offer[: source.randrange(1, offer.index("m=audio"))]


_SPOILERS: tuple[Callable[[str, random.Random], str], ...] = (
    _noise,
    _cut,
    _replaced("v=0", ["v=1", "w=0", "", "v="]),
    _replaced("o=phone", ["o=", "o", "q=phone"]),
    _replaced("m=audio", ["m=video", "m=image", "m=", "m", "n=audio"]),
    _replaced("RTP/AVP", ["RTP/SAVP", "RTP/SAVPF", "UDP/TLS/RTP/SAVPF", "udptl", ""]),
    _replaced("RTP/AVP 0 101", ["RTP/AVP 18", "RTP/AVP 18 101", "RTP/AVP 101", "RTP/AVP", "RTP/AVP x"]),
    _replaced("40000", ["65536", "99999999999", "-1", "1e3", "port", ""]),
    _replaced("c=IN IP4 127.0.0.1", ["c=IN IP4", "c=IN IP4 host name", "c=IN IP4 1.2.3", "c=IN IP9 ::", "c=", "x=1"]),
)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()
