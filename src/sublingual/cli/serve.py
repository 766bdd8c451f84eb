"""`sublingual serve`: parsers as a local HTTP service."""

from __future__ import annotations

import ipaddress
import logging
import sys
from typing import Annotated

import typer

from sublingual.cli.common import Device, Threads, say, set_threads
from sublingual.errors import ConfigError


def serve(
    models: Annotated[
        list[str], typer.Argument(help="Models' folders, each as FOLDER, NAME=FOLDER or NAME:ALIAS=FOLDER.")
    ],
    host: Annotated[
        str, typer.Option("--host", help="Address to listen on; 0.0.0.0 opens it to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port; 0 takes any free one.")] = 8001,
    keep: Annotated[int, typer.Option("--keep", min=1, help="Models in memory; the others wait on disk.")] = 8,
    max_bytes: Annotated[int, typer.Option("--max-bytes", min=1, help="Bytes of a request.")] = 4 << 20,
    max_words: Annotated[int, typer.Option("--max-words", min=1, help="Words of a request.")] = 100_000,
    queue: Annotated[int, typer.Option("--queue", min=1, help="Requests that wait or are worked on.")] = 100,
    timeout: Annotated[float, typer.Option("--timeout", min=0.001, help="Seconds until an answer.")] = 300.0,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Serve parsers over HTTP, as UDPipe's REST service does: its clients can be used unchanged. Ends on SIGTERM."""
    try:
        from sublingual.service.app import Service, application
        from sublingual.service.limits import Limits
        from sublingual.service.offers import offers
        from sublingual.service.server import listen, server
        from sublingual.service.shelf import Shelf
    except ModuleNotFoundError as fault:
        raise ConfigError(f"the service needs {fault.name}: pip install 'sublingual[serve]'") from fault

    from sublingual import runtime

    limits = Limits(body=max_bytes, words=max_words, queue=queue, seconds=timeout)
    offered = offers(models)
    set_threads(threads)
    shelf = Shelf(keep=keep, device=runtime.device(device))
    shelf.parser(offered.default)  # what is damaged is told before the door opens
    with listen(host, port) as socket:
        _log_requests()
        if not _is_loopback(host):
            say(
                f"{host} is open to the network: everyone who reaches it can use this machine's time; there is no password"
            )
        say(
            f"serving {', '.join(offer.name for offer in offered.models)} at http://{_address(host, socket.getsockname()[1])}"
        )
        server(application(Service(offered, shelf, limits)), limits).run(sockets=[socket])


def _log_requests() -> None:
    """Has the service's log lines written to stderr with the time; what the readers say of clients' texts is left out."""
    logging.getLogger("sublingual").setLevel(logging.ERROR)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log = logging.getLogger("sublingual.service")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(handler)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
