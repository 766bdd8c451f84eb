"""`sublingual serve`: parsers as a local HTTP service."""

from __future__ import annotations

import ipaddress
import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from sublingual.cli.common import Device, Threads, say, set_threads
from sublingual.data.releases import data_home
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
    adapts_to: Annotated[
        Path | None,
        typer.Option(
            "--adapt-to",
            help="Folder for the models that the page adapts; they are served too (default: among this program's own files, "
            "where no other computer can reach the service; else none are made).",
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
) -> None:
    """Serve parsers over HTTP: a page for the browser, and what UDPipe's clients ask for. Ends on SIGTERM."""
    try:
        from sublingual.service.app import Service, application
        from sublingual.service.limits import Limits
        from sublingual.service.offers import offers, with_kept
        from sublingual.service.server import listen, server
        from sublingual.service.shelf import Shelf
    except ModuleNotFoundError as fault:
        raise ConfigError(f"the service needs {fault.name}: pip install 'sublingual[serve]'") from fault

    from sublingual import runtime

    limits = Limits(body=max_bytes, words=max_words, queue=queue, seconds=timeout)
    loopback = _is_loopback(host)
    if adapts_to is None and loopback:
        adapts_to = data_home() / "adapted"
    offered = offers(models) if adapts_to is None else with_kept(offers(models), adapts_to)
    set_threads(threads)
    shelf = Shelf(keep=keep, device=runtime.device(device))
    shelf.parser(offered.default)  # what is damaged is told before the door opens
    with listen(host, port) as socket:
        _log_requests()
        if not loopback:
            say(
                f"{host} is open to the network: everyone who reaches it can use this machine's time; there is no password"
            )
        names = ", ".join(offer.name for offer in offered.models)
        say(f"serving {names} at http://{_address(host, socket.getsockname()[1])}")
        if adapts_to is not None:
            say(f"models that are adapted on the page go to {adapts_to}")
        service = Service(offered, shelf, limits, adapts_to=adapts_to, loopback=loopback)
        server(application(service), limits).run(sockets=[socket])


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
