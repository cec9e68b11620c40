"""A session description as data: total parser and writer (RFC 8866)."""

import re
from dataclasses import dataclass, field

from core.sdp.reason import quotable

# One UDP datagram carries the whole event that carries the offer.
_MAX_BYTES = 65_536
_MAX_MEDIA = 64
_QUOTED = 40
_LINE = re.compile(r"([a-z])=(.*)")
_TOKEN = re.compile(r"[!#$%&'*+\-.0-9A-Z^_`a-z{|}~]+")
_DIGITS = re.compile(r"[0-9]{1,20}")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


class SdpError(ValueError):
    """A text that is no session description; the message names the line."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """An a= line; the value is None where there is no colon."""

    name: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """The o= line: who made the description, and which version of it this is."""

    username: str
    session_id: int
    session_version: int
    address_type: str
    address: str


@dataclass(frozen=True, slots=True)
class Connection:
    """A c= line: the address media goes to. `address_type` is IP4 or IP6."""

    address_type: str
    address: str


@dataclass(frozen=True, slots=True)
class MediaDescription:
    """An m= line and what belongs to it."""

    media: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connection: Connection | None = None
    bandwidths: tuple[str, ...] = ()
    attributes: tuple[Attribute, ...] = ()

    def values(self, name: str) -> list[str]:
        """The values of every attribute of that name, in order."""
        return _values(self.attributes, name)

    def has(self, name: str) -> bool:
        return any(attribute.name == name for attribute in self.attributes)


@dataclass(frozen=True, slots=True)
class SessionDescription:
    """A whole description. Lines that carry no meaning for a call (i, u, e, p, r, z, k) are not kept."""

    origin: Origin
    name: str = "-"
    connection: Connection | None = None
    bandwidths: tuple[str, ...] = ()
    timing: str = "0 0"
    attributes: tuple[Attribute, ...] = ()
    media: tuple[MediaDescription, ...] = field(default=())

    def connection_of(self, media: MediaDescription) -> Connection | None:
        """The media level's own c= line, else the session's (RFC 8866 5.7)."""
        return media.connection or self.connection

    def direction_of(self, media: MediaDescription) -> str:
        """The media level's direction, else the session's, else sendrecv (RFC 8866 6.7)."""
        for attributes in (media.attributes, self.attributes):
            for attribute in attributes:
                if attribute.name in _DIRECTIONS:
                    return attribute.name
        return "sendrecv"

    def values_of(self, media: MediaDescription, name: str) -> list[str]:
        """The media level's values of an attribute, else the session's."""
        return media.values(name) or _values(self.attributes, name)

    def serialise(self) -> str:
        """The text, every line ended by CRLF."""
        origin = self.origin
        lines = [
            "v=0",
            f"o={origin.username} {origin.session_id} {origin.session_version} "
            f"IN {origin.address_type} {origin.address}",
            f"s={self.name}",
            *_connection_lines(self.connection),
            *(f"b={bandwidth}" for bandwidth in self.bandwidths),
            f"t={self.timing}",
            *_attribute_lines(self.attributes),
        ]
        for media in self.media:
            ports = f"{media.port}/{media.port_count}" if media.port_count != 1 else str(media.port)
            lines += [
                f"m={media.media} {ports} {media.protocol} {' '.join(media.formats)}",
                *_connection_lines(media.connection),
                *(f"b={bandwidth}" for bandwidth in media.bandwidths),
                *_attribute_lines(media.attributes),
            ]
        return "\r\n".join([*lines, ""])


def parse(description: bytes | str) -> SessionDescription:
    """Reads a description; lines may end in CRLF, LF or CR. Session name and timing may be missing.

    Raises:
        SdpError: it is none, or a line that a call needs cannot be read.
    """
    if len(description) > _MAX_BYTES:
        raise SdpError("Session description is too long")
    # Names and information lines may be in any encoding; what a call needs is ASCII.
    text = description if isinstance(description, str) else description.decode("utf-8", "replace")
    lines = [line.rstrip() for line in text.replace("\r", "\n").split("\n")]
    sections: list[list[tuple[str, str]]] = [[]]
    for line in filter(None, lines):
        matched = _LINE.fullmatch(line)
        if matched is None or _CONTROL.search(line):
            raise SdpError(f"Not a line of a session description: {quotable(line, _QUOTED)}")
        if matched[1] == "m":
            sections.append([])
        sections[-1].append((matched[1], matched[2]))
    session, *media = sections
    if len(media) > _MAX_MEDIA:
        raise SdpError("Session description has too many m= lines")
    if not session or session[0] != ("v", "0"):
        raise SdpError("Session description does not begin with v=0")
    return _parse_session(session, tuple(_parse_media(section) for section in media))


def _parse_session(lines: list[tuple[str, str]], media: tuple[MediaDescription, ...]) -> SessionDescription:
    origins = [value for kind, value in lines if kind == "o"]
    if len(origins) != 1:
        raise SdpError("Session description needs exactly one o= line")
    return SessionDescription(
        origin=_parse_origin(origins[0]),
        name=next((value for kind, value in lines if kind == "s"), "-"),
        connection=_parse_connections(lines),
        bandwidths=tuple(value for kind, value in lines if kind == "b"),
        timing=next((value for kind, value in lines if kind == "t"), "0 0"),
        attributes=_parse_attributes(lines),
        media=media,
    )


def _parse_origin(value: str) -> Origin:
    # A few phones put a name with blanks first.
    fields = value.rsplit(maxsplit=5)
    if len(fields) != 6 or not _DIGITS.fullmatch(fields[1]) or not _DIGITS.fullmatch(fields[2]):
        raise SdpError(f"Malformed o= line: {quotable(value, _QUOTED)}")
    username, session_id, session_version, _, address_type, address = fields
    return Origin(username, int(session_id), int(session_version), address_type, address)


def _parse_connections(lines: list[tuple[str, str]]) -> Connection | None:
    """The first c= line; more than one names a set of multicast groups, which no call uses."""
    for kind, value in lines:
        if kind == "c":
            fields = value.split()
            if len(fields) != 3 or fields[0] != "IN" or fields[1] not in ("IP4", "IP6"):
                raise SdpError(f"Malformed c= line: {quotable(value, _QUOTED)}")
            return Connection(fields[1], fields[2])
    return None


def _parse_media(lines: list[tuple[str, str]]) -> MediaDescription:
    value = lines[0][1]
    fields = value.split()
    if len(fields) < 4:
        raise SdpError(f"Malformed m= line: {quotable(value, _QUOTED)}")
    media, ports, protocol, *formats = fields
    port, _, count = ports.partition("/")
    numbers_fit = bool(_DIGITS.fullmatch(port)) and (not count or bool(_DIGITS.fullmatch(count)))
    tokens = (media, *protocol.split("/"), *formats)
    if not numbers_fit or int(port) > 65_535 or not all(map(_TOKEN.fullmatch, tokens)):
        raise SdpError(f"Malformed m= line: {quotable(value, _QUOTED)}")
    return MediaDescription(
        media=media,
        port=int(port),
        protocol=protocol,
        formats=tuple(formats),
        port_count=int(count or 1),
        connection=_parse_connections(lines),
        bandwidths=tuple(value for kind, value in lines if kind == "b"),
        attributes=_parse_attributes(lines),
    )


def _parse_attributes(lines: list[tuple[str, str]]) -> tuple[Attribute, ...]:
    attributes = []
    for kind, value in lines:
        if kind == "a":
            name, colon, rest = value.partition(":")
            attributes.append(Attribute(name.strip(), rest.strip() if colon else None))
    return tuple(attributes)


def _values(attributes: tuple[Attribute, ...], name: str) -> list[str]:
    return [attribute.value for attribute in attributes if attribute.name == name and attribute.value]


def _connection_lines(connection: Connection | None) -> list[str]:
    return [f"c=IN {connection.address_type} {connection.address}"] if connection else []


def _attribute_lines(attributes: tuple[Attribute, ...]) -> list[str]:
    return [f"a={a.name}" if a.value is None else f"a={a.name}:{a.value}" for a in attributes]
