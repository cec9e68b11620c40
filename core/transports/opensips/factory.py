"""Makes the OpenSIPS transport from its settings."""

from collections.abc import Mapping, Sequence

from core.transports.base import Host, Transport, TransportFactory
from core.transports.opensips.settings import OpenSipsSettings
from services.common.settings import Section


class OpenSipsFactory:
    sections: Sequence[type[Section]] = (OpenSipsSettings,)

    def problems(self, _settings: Mapping[type[Section], Section], *, places_calls: bool) -> list[str]:
        return ["outbound.transport: 'opensips' cannot place calls"] if places_calls else []

    def build(self, settings: Mapping[type[Section], Section], host: Host) -> Transport:
        from core.transports.opensips.transport import OpenSipsTransport

        own = settings[OpenSipsSettings]
        assert isinstance(own, OpenSipsSettings)
        return OpenSipsTransport(own, host.plane)


FACTORY: TransportFactory = OpenSipsFactory()
