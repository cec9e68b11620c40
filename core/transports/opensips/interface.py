"""Which of our addresses another host sees."""

import socket

_DISCARD_PORT = 9


def interface_towards(remote_ip: str) -> str:
    """Our address on the route to that one; nothing is sent. The loopback's where there is no route."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((remote_ip, _DISCARD_PORT))
            return str(probe.getsockname()[0])
    except OSError:
        return "127.0.0.1"
