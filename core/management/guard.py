"""Who may see, place and end calls: whoever has the token, or, where there is none, this machine."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable

import pydantic
from aiohttp import HttpVersion11, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

# A proxy on this machine asks for others: Twilio's webhooks come by one, and so could anybody.
_SIGNS_OF_A_PROXY = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")


class Guard:
    """Lets requests through to handlers, or answers 401 or 403."""

    def __init__(self, token: pydantic.SecretStr | None) -> None:
        self._token = token.get_secret_value() if token else None

    def guarded(self, handler: Handler) -> Handler:
        async def checked(request: web.Request) -> web.StreamResponse:
            if self._token is None:
                if not _is_local(request):
                    raise web.HTTPForbidden(text="set management.token to use this from another machine")
            elif not hmac.compare_digest(
                request.headers.get("Authorization", "").encode("utf-8", "surrogateescape"),
                f"Bearer {self._token}".encode(),
            ):
                raise web.HTTPUnauthorized(text="a bearer token is needed")
            return await handler(request)

        return checked


def _is_local(request: web.Request) -> bool:
    """Whether it was made on this machine, for this machine.

    The name that was asked for counts: a page in a browser here can have its own name lead to us.
    """
    # Some proxies say nothing of themselves, unless they are told to, and ask in HTTP/1.0 (nginx, proxy_http_version).
    if request.version < HttpVersion11 or any(name in request.headers for name in _SIGNS_OF_A_PROXY):
        return False
    return _is_loopback(request.remote) and (_host(request) == "localhost" or _is_loopback(_host(request)))


def _host(request: web.Request) -> str | None:
    try:
        return request.url.host
    except ValueError:
        return None


def _is_loopback(address: str | None) -> bool:
    try:
        return address is not None and ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
