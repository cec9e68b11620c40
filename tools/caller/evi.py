"""OpenSIPS' event interface: who subscribed, until when, and one datagram an event to each of them."""

import asyncio
import json
import random
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

EVENT_NAME = "E_UA_SESSION"
WORKERS = 4
"""SIP workers: each sends from a socket of its own, so events come from several ports, in no common order."""


@dataclass(frozen=True, slots=True)
class EventFaults:
    """What happens to events on their way, as probabilities; the same for the same seed."""

    loss: float = 0.0
    duplicate: float = 0.0
    delay: float = 0.0
    delay_s: float = 0.03


@dataclass(slots=True)
class Subscriber:
    """One line of `subscribers_list`."""

    socket: str
    address: tuple[str, int]
    expire_s: int
    subscribed_s: int


class EventInterface:
    """Subscriptions and delivery. Fire and forget: a receiver that died is never noticed."""

    def __init__(self, clock: Callable[[], float], seed: int, faults: EventFaults) -> None:
        self._clock = clock
        self._random = random.Random(seed)
        self._subscribers: dict[str, Subscriber] = {}
        self._sockets: list[socket.socket] = []
        self._delayed: set[asyncio.TimerHandle] = set()
        self.faults = faults
        self.raised: list[dict[str, Any]] = []
        """Parameters of every event since the start, delivered or not."""

    def open(self, host: str) -> None:
        for _ in range(WORKERS):
            worker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            worker.bind((host, 0))
            worker.setblocking(False)
            self._sockets.append(worker)

    def close(self) -> None:
        """Forgets the subscribers as well: OpenSIPS keeps them in memory only."""
        for delayed in self._delayed:
            delayed.cancel()
        self._delayed.clear()
        for worker in self._sockets:
            worker.close()
        self._sockets.clear()
        self._subscribers.clear()

    def subscribe(self, name: str, expire_s: int) -> bool:
        """False where the name is no socket an event can be sent to."""
        transport, _, rest = name.partition(":")
        host, _, port = rest.rpartition(":")
        if transport != "udp" or not port.isdigit() or not 0 < int(port) < 65536:
            return False
        try:
            address = (socket.gethostbyname(host), int(port))
        except OSError:
            return False
        self._subscribers[name] = Subscriber(name, address, expire_s, int(self._clock()))
        return True

    @property
    def subscribers(self) -> list[Subscriber]:
        """Those that have not expired; expired ones are dropped only when somebody looks."""
        now_s = int(self._clock())
        for name, each in list(self._subscribers.items()):
            if each.subscribed_s + each.expire_s < now_s:
                del self._subscribers[name]
        return list(self._subscribers.values())

    def listing(self) -> dict[str, Any]:
        """The answer to `subscribers_list`."""
        subscribers = self.subscribers
        if not subscribers:
            return {"Events": []}
        now_s = int(self._clock())
        shown = [
            {"socket": each.socket, "expire": each.expire_s, "ttl": each.subscribed_s + each.expire_s - now_s}
            for each in subscribers
        ]
        return {"Events": [{"name": EVENT_NAME, "id": 8, "Subscribers": shown}]}

    def raise_event(self, parameters: dict[str, Any]) -> None:
        """Sends the event to every subscriber."""
        self.raised.append(parameters)
        # Header bytes travel raw: what was no UTF-8 on the SIP side is none in the datagram either.
        text = json.dumps({"jsonrpc": "2.0", "method": EVENT_NAME, "params": parameters}, ensure_ascii=False)
        payload = text.encode("utf-8", "surrogateescape")
        for subscriber in self.subscribers:
            copies = 1 + (self._random.random() < self.faults.duplicate)
            for _ in range(copies):
                if self._random.random() < self.faults.loss:
                    continue
                late = self._random.random() < self.faults.delay
                delay_s = self._random.random() * self.faults.delay_s if late else 0.0
                self.deliver(payload, subscriber.address, delay_s)

    def deliver(self, payload: bytes, address: tuple[str, int], delay_s: float = 0.0) -> None:
        """Sends any bytes to an event socket."""
        if delay_s > 0:
            loop = asyncio.get_running_loop()
            self._delayed = {each for each in self._delayed if each.when() > loop.time()}
            self._delayed.add(loop.call_later(delay_s, self._send, payload, address))
        else:
            self._send(payload, address)

    def _send(self, payload: bytes, address: tuple[str, int]) -> None:
        if not self._sockets:
            return
        try:
            self._random.choice(self._sockets).sendto(payload, address)
        except OSError:
            # Too long for a datagram, or nobody there: OpenSIPS logs it and goes on.
            return
