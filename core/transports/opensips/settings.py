"""How the connector and its OpenSIPS find each other, and how patient they are."""

import ipaddress
from typing import ClassVar

from pydantic import field_validator

from core.audio.codecs import create_codec
from services.common.settings import Section, key


class OpenSipsSettings(Section):
    section: ClassVar[str] = "opensips"

    mi_ip: str = key(
        "127.0.0.1",
        env="MI_IP",
        aliases=("opensips.ip",),
        min_length=1,
        help="Host of OpenSIPS' mi_datagram",
    )
    mi_port: int = key(8080, env="MI_PORT", aliases=("opensips.port",), ge=1, le=65535, help="UDP port of mi_datagram")
    mi_socket: str = key(
        "", env="MI_SOCKET", help="Path of mi_datagram's UNIX socket, used in place of mi_ip and mi_port"
    )
    mi_timeout_s: float = key(0.5, unit="s", gt=0, le=10, help="How long a reply to an MI command may take")
    event_ip: str = key(
        "0.0.0.0",
        env=("OPENSIPS_EVENT_IP", "EVENT_IP"),
        aliases=("engine.event_ip",),
        help="IPv4 address that events are received on; nobody but OpenSIPS should reach it",
    )
    event_port: int = key(
        8090,
        env=("OPENSIPS_EVENT_PORT", "EVENT_PORT"),
        aliases=("engine.event_port",),
        ge=0,
        le=65535,
        help="UDP port that events are received on, 0 for any",
    )
    sip_ip: str = key("0.0.0.0", env="OPENSIPS_SIP_IP", help="Accepted from older files: OpenSIPS itself speaks SIP")
    sip_port: int = key(
        8089,
        env="OPENSIPS_SIP_PORT",
        ge=0,
        le=65535,
        help="Accepted from older files: OpenSIPS itself speaks SIP",
    )
    advertised_ip: str = key(
        "",
        env="RTP_IP",
        aliases=("rtp.ip",),
        help="Address that callers send their audio to, where it is not the one of the interface towards them",
    )
    codecs: tuple[str, ...] = key(
        ("PCMU", "PCMA"),
        help="Codecs that are spoken; the caller's order decides among them. G722 hears more, and costs"
        " a hundred times as much",
    )
    ringing: bool = key(False, help="Send 180 Ringing before the call is answered")
    answer_timeout_s: float = key(
        20.0, unit="s", gt=0, le=170, help="How long a call may ring; OpenSIPS itself would wait for ever"
    )
    transfer_timeout_s: float = key(
        60.0, unit="s", gt=0, le=600, help="How long the caller's phone may take for a transfer"
    )
    subscription_expire_s: int = key(
        10, unit="s", ge=3, le=3600, help="How long OpenSIPS goes on sending events to a connector that died"
    )
    subscription_refresh_s: float = key(3.0, unit="s", gt=0, le=1800, help="How often the subscription is renewed")
    watch_interval_s: float = key(
        2.0, unit="s", gt=0, le=60, help="How often OpenSIPS is asked whether it was restarted"
    )
    audit_interval_s: float = key(
        30.0, unit="s", gt=0, le=3600, help="How often OpenSIPS is asked whether it still holds each call"
    )
    shutdown_timeout_s: float = key(5.0, unit="s", gt=0, le=60, help="How long the last calls may take to end politely")
    session_journal: str = key(
        "",
        env="OPENSIPS_SESSION_JOURNAL",
        help="File that remembers the calls that are up, so that a crash leaves none behind in OpenSIPS",
    )

    @field_validator("event_ip", "advertised_ip")
    @classmethod
    def _is_ipv4(cls, value: str) -> str:
        if value:
            try:
                ipaddress.IPv4Address(value)
            except ValueError as error:
                raise ValueError(f"{value!r} is no IPv4 address") from error
        return value

    @field_validator("codecs")
    @classmethod
    def _are_codecs(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least one codec is needed")
        for name in value:
            create_codec(name)
        return value
