"""The RTP plane: every call's sockets, and one pacing wheel for all of them on a thread of its own."""
