"""The description is found in every body that holds one."""

import pytest

from core.errors import OfferRejected
from core.transports.opensips.multipart import session_description

MIXED = (
    "preamble\r\n--b1\r\nContent-Type: application/isup; version=x\r\n\r\nbinary\r\n"
    "--b1\r\nContent-Type: Application/SDP\r\nContent-Disposition: session\r\n\r\nv=0\r\ns=-\r\n--b1--\r\n"
)


@pytest.mark.parametrize(
    ("body", "content_type", "found"),
    [
        ("v=0\r\n", "application/sdp", "v=0\r\n"),
        ("v=0\r\n", "Application/SDP; charset=utf-8", "v=0\r\n"),
        ("v=0\r\n", "", "v=0\r\n"),
        (" \r\n", "application/sdp", ""),
        ("", "multipart/mixed", ""),
        (MIXED, "multipart/mixed;boundary=b1", "v=0\ns=-"),
        (MIXED.replace("\r\n", "\n"), 'multipart/mixed; boundary="b1"', "v=0\ns=-"),
    ],
)
def test_description_is_found(body: str, content_type: str, found: str) -> None:
    assert session_description(body, {"content-type": content_type}) == found


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("<xml/>", "application/pidf+xml", 415),
        (MIXED, "multipart/mixed", 400),
        (MIXED, "multipart/mixed;boundary=other", 415),
        (MIXED.replace("Application/SDP", "text/plain"), "multipart/mixed;boundary=b1", 415),
    ],
)
def test_anything_else_is_refused(body: str, content_type: str, status: int) -> None:
    with pytest.raises(OfferRejected) as refusal:
        session_description(body, {"content-type": content_type})
    assert refusal.value.sip_status == status
