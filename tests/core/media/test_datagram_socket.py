"""Datagrams with their source and the kernel's time."""

import socket
import time
from collections.abc import Iterator

import pytest

from core.media.datagram_socket import (
    MAX_DATAGRAM_BYTES,
    DatagramSocket,
    ReceiveBuffers,
    decode_address,
    encode_address,
)


@pytest.fixture
def pair() -> Iterator[tuple[DatagramSocket, DatagramSocket]]:
    buffers = ReceiveBuffers()
    first, second = (DatagramSocket("127.0.0.1", 0, buffers) for _ in range(2))
    yield first, second
    first.close()
    second.close()


def address(of: DatagramSocket) -> bytes:
    return encode_address(("127.0.0.1", of.port))


def test_datagrams_come_in_order_with_source_and_time(pair: tuple[DatagramSocket, DatagramSocket]) -> None:
    sender, receiver = pair
    before = time.monotonic()
    for n in range(5):
        assert sender.send(bytes([n]) * (n + 1), address(receiver))
    after = time.monotonic()
    received = receiver.receive()
    assert [datagram.data for datagram in received] == [bytes([n]) * (n + 1) for n in range(5)]
    assert {decode_address(datagram.source) for datagram in received} == {("127.0.0.1", sender.port)}
    for datagram in received:
        # The kernel's clock and ours are read one after the other.
        assert before - 0.002 <= datagram.arrived_at_s <= after + 0.002


def test_the_time_is_that_of_arrival_and_not_of_reading(pair: tuple[DatagramSocket, DatagramSocket]) -> None:
    sender, receiver = pair
    sender.send(b"early", address(receiver))
    time.sleep(0.05)
    assert time.monotonic() - receiver.receive()[0].arrived_at_s >= 0.045


def test_a_datagram_without_a_time_does_not_cost_later_ones_theirs(
    pair: tuple[DatagramSocket, DatagramSocket],
) -> None:
    sender, receiver = pair
    receiver._socket.setsockopt(socket.SOL_SOCKET, 35, 0)
    sender.send(b"unstamped", address(receiver))
    read_at = time.monotonic()
    assert receiver.receive()[0].arrived_at_s == pytest.approx(read_at, abs=1)
    receiver._socket.setsockopt(socket.SOL_SOCKET, 35, 1)
    sender.send(b"stamped", address(receiver))
    time.sleep(0.05)
    assert time.monotonic() - receiver.receive()[0].arrived_at_s >= 0.045


def test_more_than_a_batch_takes_several_reads_and_leaves_nothing(
    pair: tuple[DatagramSocket, DatagramSocket],
) -> None:
    sender, receiver = pair
    for n in range(40):
        sender.send(bytes([n]), address(receiver))
    received: list[int] = []
    while batch := receiver.receive():
        received += [datagram.data[0] for datagram in batch]
    assert received == list(range(40))


def test_an_empty_socket_reads_as_nothing_at_once(pair: tuple[DatagramSocket, DatagramSocket]) -> None:
    assert pair[0].receive() == []


def test_empty_and_oversized_datagrams_do_no_harm(pair: tuple[DatagramSocket, DatagramSocket]) -> None:
    sender, receiver = pair
    sender.send(b"", address(receiver))
    sender.send(bytes(5000), address(receiver))
    sender.send(b"next", address(receiver))
    assert [len(datagram.data) for datagram in receiver.receive()] == [0, MAX_DATAGRAM_BYTES, 4]


def test_packets_are_marked_for_expedited_forwarding(pair: tuple[DatagramSocket, DatagramSocket]) -> None:
    assert pair[0]._socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) >> 2 == 46


def test_a_port_in_use_is_refused_and_its_socket_closed(pair: tuple[DatagramSocket, DatagramSocket]) -> None:
    with pytest.raises(OSError, match="in use"):
        DatagramSocket("127.0.0.1", pair[0].port, ReceiveBuffers())


def test_what_the_kernel_does_not_take_is_told(pair: tuple[DatagramSocket, DatagramSocket]) -> None:
    assert not pair[0].send(bytes(70_000), address(pair[1]))


def test_a_closed_socket_neither_sends_nor_receives() -> None:
    buffers = ReceiveBuffers()
    closed, other = (DatagramSocket("127.0.0.1", 0, buffers) for _ in range(2))
    closed.close()
    closed.close()
    assert not closed.send(b"late", address(other))
    assert closed.receive() == []
    assert other.receive() == []
    other.close()


@pytest.mark.parametrize("host", ["example.com", "::1", ""])
def test_only_ipv4_literals_are_addresses(host: str) -> None:
    with pytest.raises(OSError, match="illegal"):
        encode_address((host, 4000))


def test_an_address_survives_both_ways() -> None:
    assert decode_address(encode_address(("192.0.2.255", 65_535))) == ("192.0.2.255", 65_535)
