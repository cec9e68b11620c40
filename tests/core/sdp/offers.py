"""Offers as they were captured, and as peers are known to write them."""

# From OpenSIPS 4.0.1's event for a sipp caller.
SIPP = (
    b"v=0\r\no=h4 53655765 2353687637 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    b"m=audio 16000 RTP/AVP 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n"
    b"a=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
)

HEAD = "v=0\r\no=- 3910 3910 IN IP4 198.51.100.7\r\ns=call\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n"

# A soft phone with wide-band codecs, events of two clocks, video, and RTCP beside RTP.
SOFT_PHONE = (
    HEAD + "a=tool:baresip 3.10\r\n"
    "m=audio 40112 RTP/AVP 96 9 8 0 13 97 101\r\nb=AS:125\r\n"
    "a=rtpmap:96 opus/48000/2\r\na=fmtp:96 stereo=1;sprop-stereo=1\r\na=rtpmap:9 G722/8000\r\n"
    "a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:13 CN/8000\r\n"
    "a=rtpmap:97 telephone-event/48000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n"
    "a=rtcp:40113\r\na=rtcp-mux\r\na=sendrecv\r\na=label:1\r\na=ptime:20\r\n"
    "m=video 40114 RTP/AVP 98\r\na=rtpmap:98 H264/90000\r\n"
)

# RFC 3264 10.1, Alice's offer; its last line is the session's only event-free audio with GSM.
RFC_3264 = (
    "v=0\r\no=alice 2890844526 2890844526 IN IP4 198.51.100.1\r\ns=\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n"
    "m=audio 49170 RTP/AVP 0 8 97\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:97 iLBC/8000\r\n"
    "m=video 51372 RTP/AVP 31 32\r\na=rtpmap:31 H261/90000\r\na=rtpmap:32 MPV/90000\r\n"
)


def audio(media: str = "m=audio 40000 RTP/AVP 0 8 101", *attributes: str, head: str = HEAD) -> str:
    """An offer of one m= line (several if the text holds several) with more lines behind it."""
    return head + "\r\n".join([media, *attributes, ""])
