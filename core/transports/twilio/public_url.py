"""The address under which Twilio knows us, behind whatever proxy: signatures are made over it."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import web


@dataclass(frozen=True, slots=True)
class PublicUrl:
    """Where the root of this server is, as seen from outside: scheme and host, and the prefix of its paths."""

    origin: str
    prefix: str = ""

    @classmethod
    def parse(cls, url: str) -> "PublicUrl":
        parts = urlsplit(url)
        return cls(f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/"))

    @classmethod
    def of(cls, request: web.Request) -> "PublicUrl":
        """As the proxies in front say; the first of several is the outermost."""
        headers = request.headers
        scheme = _first(headers.get("X-Forwarded-Proto")) or request.scheme
        host = _first(headers.get("X-Forwarded-Host")) or request.host
        prefix = _first(headers.get("X-Forwarded-Prefix")).strip("/")
        scheme = {"wss": "https", "ws": "http"}.get(scheme.lower(), scheme.lower())
        return cls(f"{scheme}://{host}", f"/{prefix}" if prefix else "")

    def requested(self, request: web.Request) -> str:
        """The URL that was asked for, whether or not the proxy left the prefix in the path."""
        path = request.raw_path
        if self.prefix and (path == self.prefix or path.startswith((f"{self.prefix}/", f"{self.prefix}?"))):
            return self.origin + path
        return f"{self.origin}{self.prefix}{path}"

    def http(self, path: str) -> str:
        return f"{self.origin}{self.prefix}{path}"

    def web_socket(self, path: str) -> str:
        return self.http(path).replace("http", "ws", 1)


def _first(value: str | None) -> str:
    return (value or "").partition(",")[0].strip()
