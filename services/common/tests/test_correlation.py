"""A call's name travels in gRPC metadata."""

from services.common.correlation import (
    CALL_ID_METADATA_KEY,
    CALL_ID_SIZE_MAX,
    adopt_call_id,
    call_id,
    call_metadata,
)


def test_a_client_sends_the_call_it_works_for() -> None:
    assert call_metadata() == ()
    token = call_id.set("call-7")
    assert call_metadata() == ((CALL_ID_METADATA_KEY, "call-7"),)
    call_id.reset(token)


def test_a_name_that_no_header_can_carry_is_made_safe() -> None:
    token = call_id.set("é\n" + "x" * 1000)
    ((_, sent),) = call_metadata()
    assert sent.startswith("??x")
    assert len(sent) == CALL_ID_SIZE_MAX
    call_id.reset(token)


def test_a_server_adopts_the_clients_call() -> None:
    token = call_id.set("before")
    assert adopt_call_id([("other", "x"), (CALL_ID_METADATA_KEY, "call-8\r\nforged")]) == "call-8??forged"
    assert call_id.get() == "call-8??forged"
    assert adopt_call_id([("other-bin", b"x")]) == ""
    assert call_id.get() == ""
    call_id.reset(token)
