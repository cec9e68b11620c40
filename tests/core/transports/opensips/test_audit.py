"""A call that OpenSIPS knows no more: it goes on while its caller is heard, and ends when they have fallen silent."""

import pytest

from core.transports.opensips import audit as audit_module
from core.transports.opensips.audit import Audit
from core.transports.opensips.mi import MiAddress, MiClient
from core.transports.opensips.ua_sessions import UaSessions


class Forgotten(UaSessions):
    """OpenSIPS after its restart."""

    def __init__(self) -> None:
        super().__init__(MiClient(MiAddress("127.0.0.1", 9), timeout_s=0.1))

    async def state(self, key: str) -> int | None:
        return None


class Call:
    def __init__(self) -> None:
        self.in_call = True
        self.packets = 100
        self.ended = False

    def packets_received(self) -> int:
        return self.packets

    def lost(self) -> None:
        self.ended = True
        self.in_call = False


@pytest.fixture
def call() -> Call:
    return Call()


@pytest.fixture
def now_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(audit_module, "_now_s", lambda: now[0])
    return now


async def test_two_rounds_in_a_row_do_not_make_a_caller_silent(call: Call, now_s: list[float]) -> None:
    audit = Audit(Forgotten(), {"key": call}, 30.0)
    await audit.check()
    # A restart that was noticed during the first round asks for the next one at once.
    now_s[0] += 0.01
    await audit.check()
    assert not call.ended


async def test_call_without_a_session_ends_once_its_caller_has_been_silent(call: Call, now_s: list[float]) -> None:
    audit = Audit(Forgotten(), {"key": call}, 0.5)
    await audit.check()
    for _ in range(10):
        now_s[0] += 0.5
        call.packets += 25
        await audit.check()
    assert not call.ended
    for _ in range(3):
        now_s[0] += 0.5
        await audit.check()
    assert not call.ended
    now_s[0] += 0.5
    await audit.check()
    assert call.ended
