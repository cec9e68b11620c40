"""A publisher of models on this machine: ranges, entity tags, and connections that end early."""

import http.server
import threading
from dataclasses import dataclass, field
from typing import Self


@dataclass
class Publisher:
    """Serves `files` by path. `cut_after` ends the next answers' bodies early, one after the other."""

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int] = field(default_factory=list)
    etags: bool = True
    ranges: bool = True
    lengths: bool = True
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def __enter__(self) -> Self:
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                publisher._answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def _answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append((handler.path, wanted))
        body = self.files.get(handler.path)
        if body is None:
            handler.send_error(404)
            return
        etag = f'"{hash(body)}"'
        condition = handler.headers.get("If-Range")
        start = 0
        if wanted and self.ranges and condition in (None, etag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                handler.send_error(416)
                return
        handler.send_response(206 if start else 200)
        if self.lengths:
            handler.send_header("Content-Length", str(len(body) - start))
        if self.etags:
            handler.send_header("ETag", etag)
        handler.end_headers()
        end = start + self.cut_after.pop(0) if self.cut_after else len(body)
        handler.wfile.write(body[start:end])
        handler.close_connection = True
