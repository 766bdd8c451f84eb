"""The service on a socket: uvicorn with bounds on connections and on how slowly a request may come in."""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from sublingual.errors import ConfigError
from sublingual.service.limits import Limits

_GRACE = 30  # seconds that open requests get after SIGTERM
_KEEP_ALIVE = 5  # seconds that an idle connection stays open
_LINGER = 5  # seconds that a client may still send in after it was refused
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
_REFUSAL = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%b\n"
)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 is any free one. Raises ConfigError where that is not possible."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, OverflowError) as fault:
        raise ConfigError(
            f"cannot listen on {host} port {port} ({fault}); choose others by --host and --port"
        ) from fault


def server(app: ASGIApp, limits: Limits) -> uvicorn.Server:
    """The server of the application: `run(sockets=[...])` serves until SIGTERM or SIGINT, then ends what is begun."""
    config = uvicorn.Config(
        app,
        http=_protocol(limits.receive_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=_GRACE,
    )
    return uvicorn.Server(config)


class _Patient(H11Protocol):
    """uvicorn's protocol, but what is no HTTP, or too long a head, may be sent to its end: who is cut off hears no answer."""

    _refused = False

    def data_received(self, data: bytes) -> None:
        if not self._refused:
            super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        self._refused = True
        self.transport.write(_REFUSAL % (len(msg) + 1, msg.encode("ascii")))
        self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)
        if self.cycle is not None:  # it was broken in its body: nobody waits for the answer any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()


def _protocol(seconds: float) -> type[asyncio.Protocol]:
    """uvicorn's protocol, but a request's head must have come in within the seconds, and may hold raw UTF-8."""

    class Protocol(_Patient):
        _timer: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._timer = self.loop.call_later(seconds, self._give_up)

        def data_received(self, data: bytes) -> None:
            awaited = self.conn.their_state is h11.IDLE
            super().data_received(_ascii_address(data) if awaited else data)
            if self.conn.their_state is not h11.IDLE:
                self._stop_timer()
            elif self._timer is None and awaited:
                self._timer = self.loop.call_later(seconds, self._give_up)

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _give_up(self) -> None:
            if self.conn.their_state is h11.IDLE:
                self.transport.close()

    return Protocol


def _ascii_address(data: bytes) -> bytes:
    """The first bytes of a request with raw UTF-8 of its first line percent-encoded: curl sends it as it is typed."""
    line, end, rest = data.partition(b"\r\n")
    return _NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], line) + end + rest
