"""What a request brings along, as a JSON object."""

from typing import Any

from aiohttp import web


async def json_object(request: web.Request) -> dict[str, Any]:
    """
    Raises:
        web.HTTPBadRequest: it is none.
    """
    try:
        body = await request.json()
    except (ValueError, LookupError, RecursionError) as error:
        # Not JSON, in a character set nobody knows, or nested too deeply to be read.
        raise web.HTTPBadRequest(text=f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(text="the body must be a JSON object")
    return body
