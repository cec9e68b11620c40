"""Mutated offers: each is answered or refused, and nothing of them reaches a header unclean."""

import random
import time

from hypothesis import given
from hypothesis import strategies as st

from core.errors import OfferRejected
from core.sdp.offer_answer import LocalMedia, Negotiated, accept, answer
from core.sdp.session import parse
from tests.core.sdp.offers import RFC_3264, SIPP, SOFT_PHONE

LOCAL = LocalMedia("192.0.2.1", 35000, 77, codecs=("PCMU", "PCMA", "G722"), address_ip6="2001:db8::1")
SEEDS = (SIPP, SOFT_PHONE.encode(), RFC_3264.encode())


def mutate(offer: bytes, source: random.Random) -> bytes:
    """One to four changes: bytes flipped, cut, doubled, lines swapped, numbers made absurd."""
    mutant = bytearray(offer)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(mutant) + 1)
        length = source.randrange(30)
        match source.randrange(6):
            case 0:
                mutant[at:at] = source.randbytes(length)
            case 1:
                del mutant[at : at + length]
            case 2:
                mutant[at:at] = mutant[at : at + length]
            case 3:
                lines = bytes(mutant).split(b"\r\n")
                source.shuffle(lines)
                mutant = bytearray(b"\r\n".join(lines))
            case 4:
                number = source.choice([b"0", b"-1", b"65536", b"9" * 40, b"1e9", b"0x10", b""])
                mutant[at : at + source.randrange(5)] = number
            case 5:
                del mutant[at:]
                if not mutant:
                    mutant = bytearray(b"v=0")
    return bytes(mutant)


def check_refusal(refused: OfferRejected) -> None:
    assert refused.sip_status in (400, 488)
    assert refused.reason.isascii()
    assert refused.reason.isprintable()
    assert len(refused.reason) < 200


def check(offer: bytes, previous: Negotiated | None) -> None:
    try:
        negotiated = answer(offer, LOCAL, previous)
    except OfferRejected as refused:
        check_refusal(refused)
        return
    session = parse(negotiated.answer_sdp)
    offered = parse(offer)
    assert len(session.media) == len(offered.media)
    assert [line.media for line in session.media] == [line.media for line in offered.media]
    ours = [line for line in session.media if line.port]
    assert len(ours) == 1 or (previous is not None and negotiated.held)
    assert 10 <= negotiated.parameters.ptime_ms <= 60


def test_500_mutated_offers_are_answered_or_refused() -> None:
    source = random.Random(20_261_121)
    previous = answer(SIPP, LOCAL)
    started = time.process_time()

    for number in range(500):
        check(mutate(source.choice(SEEDS), source), previous if number % 2 else None)

    assert time.process_time() - started < 5


def test_mutated_answers_are_taken_or_refused() -> None:
    source = random.Random(7)
    for _ in range(200):
        try:
            accept(mutate(source.choice(SEEDS), source), LOCAL)
        except OfferRejected as refused:
            check_refusal(refused)


@given(st.binary(max_size=200))
def test_any_bytes_behind_an_offer_are_answered_or_refused(noise: bytes) -> None:
    check(SIPP + noise, None)


@given(st.sampled_from(["rtpmap", "fmtp", "ptime", "maxptime", "rtcp", "crypto"]), st.text(max_size=50))
def test_any_value_of_an_attribute_is_answered_or_refused(name: str, value: str) -> None:
    check(SIPP + f"a={name}:{value}\r\n".encode("utf-8", "replace"), None)
    check(SIPP.replace(b"a=ptime:20", f"a={name}:{value}".encode("utf-8", "replace")), None)


@given(st.text(max_size=50))
def test_any_connection_address_is_answered_or_refused(address: str) -> None:
    for family in ("IP4", "IP6"):
        check(SIPP.replace(b"c=IN IP4 127.0.0.1", f"c=IN {family} {address}".encode("utf-8", "replace")), None)
