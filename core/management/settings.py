"""Where the management interface listens, and who may change things through it."""

from typing import ClassVar

import pydantic

from services.common.settings import Section, key


class ManagementSettings(Section):
    section: ClassVar[str] = "management"
    host: str = key("0.0.0.0", env="MANAGEMENT_HOST", help="Address the HTTP interface listens on")
    port: int = key(8080, env="MANAGEMENT_PORT", ge=0, le=65535, help="Port of the HTTP interface")
    token: pydantic.SecretStr | None = key(
        None,
        env="MANAGEMENT_TOKEN",
        secret=True,
        help="Bearer token for requests that see or change calls; without one they are taken from this machine only",
    )
