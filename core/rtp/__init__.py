"""RTP and RTCP as arithmetic: packets, order, loss, keys (RFC 3550, RFC 4733)."""
