"""A stream's address opens one stream, for one call, and not for long."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.transports.twilio.replay import SeenOnce
from core.transports.twilio.tokens import Claims, StreamTokens, TokenRefused

CLAIMS = Claims("CA1", "alice", "+15550199", {"agent": "garage"}, "")


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def tokens(secret: str = "shared", clock: Clock | None = None) -> StreamTokens:
    return StreamTokens(secret, 60, clock or Clock())


def test_another_replica_redeems_it() -> None:
    assert tokens().redeem(tokens().issue(CLAIMS)) == CLAIMS


def test_it_is_redeemed_once() -> None:
    replica = tokens()
    token = replica.issue(CLAIMS)
    replica.redeem(token)
    with pytest.raises(TokenRefused, match="token_used"):
        replica.redeem(token)
    assert replica.redeem(replica.issue(CLAIMS)) == CLAIMS


def test_it_expires() -> None:
    clock = Clock()
    token = tokens(clock=clock).issue(CLAIMS)
    clock.now_s += 61
    with pytest.raises(TokenRefused, match="token_expired"):
        tokens(clock=clock).redeem(token)


def test_another_secret_s_opens_nothing() -> None:
    with pytest.raises(TokenRefused, match="token_forged"):
        tokens().redeem(tokens("another").issue(CLAIMS))


def test_every_damaged_character_is_noticed() -> None:
    token = tokens().issue(CLAIMS)
    body = token.partition(".")[0]
    for at in range(len(body) + 1):
        damaged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
        with pytest.raises(TokenRefused, match="token_forged"):
            tokens().redeem(damaged)


@given(st.text(max_size=300))
def test_any_text_is_refused_and_survived(text: str) -> None:
    with pytest.raises(TokenRefused, match="token_forged"):
        tokens().redeem(text)


@given(st.text(), st.text(), st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=5))
def test_any_claims_survive_the_way(caller: str, called: str, parameters: dict[str, str]) -> None:
    claims = Claims("CA1", caller[:50], called[:50], parameters, "leg")
    token = tokens().issue(claims)
    assert set(token) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")
    assert tokens().redeem(token) == claims


def test_too_much_for_an_address_is_refused() -> None:
    with pytest.raises(ValueError, match="too long"):
        tokens().issue(Claims("CA1", "a", "b", {"story": "x" * 5000}))


def test_memory_of_what_was_seen_is_bounded_and_forgets_the_oldest() -> None:
    seen = SeenOnce(3)
    assert all(seen.first_time(name, 0, 100) for name in "abcd")
    assert len(seen) == 3
    assert not seen.first_time("d", 1, 100)


def test_what_is_no_longer_worth_repeating_is_forgotten() -> None:
    seen = SeenOnce(10)
    assert seen.first_time("a", 0, 5)
    assert not seen.first_time("a", 4, 9)
    assert seen.first_time("a", 6, 11)
    assert len(seen) == 1
