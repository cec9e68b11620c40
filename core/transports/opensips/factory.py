"""Makes the OpenSIPS transport from its settings."""

from collections.abc import Mapping, Sequence

from core.leg import Transport
from core.media.plane import MediaPlane
from core.transports.opensips.settings import OpenSipsSettings
from core.transports.opensips.transport import OpenSipsTransport
from core.transports.registry import TransportFactory
from services.common.settings import Section


class OpenSipsFactory:
    sections: Sequence[type[Section]] = (OpenSipsSettings,)

    def build(self, settings: Mapping[type[Section], Section], plane: MediaPlane) -> Transport:
        own = settings[OpenSipsSettings]
        assert isinstance(own, OpenSipsSettings)
        return OpenSipsTransport(own, plane)


FACTORY: TransportFactory = OpenSipsFactory()
