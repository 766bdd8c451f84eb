"""The service's addresses: UDPipe's /models and /process (and /weblicht), /health, /metrics.

A page's files would be mounted last in `_routes`, beside these; nothing else needs to know of it.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Event

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sublingual.service.answers import Answer, Question, answer, question_of
from sublingual.service.limits import Limits, RefusedError
from sublingual.service.metrics import Metrics
from sublingual.service.offers import Offers
from sublingual.service.parameters import read_body, read_parameters, text_of
from sublingual.service.shelf import Shelf
from sublingual.service.worker import Worker

_log = logging.getLogger(__name__)
_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}  # as UDPipe's service: pages of others may ask for trees
_ACKNOWLEDGEMENTS = ["https://universaldependencies.org"]
_WEBLICHT = {
    "/weblicht/tokenize": {"tokenizer": "normalized_spaces"},
    "/weblicht/tag": {"input": "conllu"},
    "/weblicht/parse": {"input": "conllu", "parser": ""},
}
_PATHS = frozenset({"/models", "/process", "/health", "/metrics", *_WEBLICHT})


class Service:
    """The service over its models: each method answers one address."""

    def __init__(self, offers: Offers, shelf: Shelf, limits: Limits) -> None:
        self.offers = offers
        self.limits = limits
        self.metrics = Metrics()
        self._shelf = shelf
        self._worker = Worker(limits)

    async def models(self, request: Request) -> Response:
        """Every model with what it can do, and the default."""
        can = {offer.name: ["tokenizer", "parser"] for offer in self.offers.models}
        return JSONResponse({"models": can, "default_model": self.offers.default.name}, headers=_ANY_ORIGIN)

    async def process(self, request: Request) -> Response:
        """A text in, the sentences out."""
        found = await self._answer(question_of(await read_parameters(request, self.limits), self.offers), request)
        reply = {"model": found.model, "acknowledgements": _ACKNOWLEDGEMENTS, "result": found.result}
        return JSONResponse(reply, headers={**_ANY_ORIGIN, "X-Billing-Input-NFC-Len": str(found.n_characters)})

    async def weblicht(self, request: Request) -> Response:
        """The body in, CoNLL-U out, as WebLicht's chains call it."""
        data = text_of(await read_body(request, self.limits))
        parameters = {**_WEBLICHT[request.url.path], "data": data, "model": request.query_params.get("model", "")}
        found = await self._answer(question_of(parameters, self.offers), request)
        return Response(found.result, media_type="application/conllu", headers=_ANY_ORIGIN)

    async def health(self, request: Request) -> Response:
        """That the service answers, and what it offers."""
        return JSONResponse({"status": "ok", "models": len(self.offers.models), "in_memory": len(self._shelf)})

    async def measures(self, request: Request) -> Response:
        """The counts for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _answer(self, question: Question, request: Request) -> Answer:
        def work(stop: Event) -> Answer:
            found = answer(question, self._shelf, limits=self.limits, stop=stop)
            self.metrics.words.labels(found.model).inc(found.n_words)
            self.metrics.models.set(len(self._shelf))
            self.metrics.bytes.set(self._shelf.n_bytes())
            return found

        return await self._worker.do(work, gone=lambda: _gone(request))

    def close(self) -> None:
        """Ends the thread that works."""
        self._worker.close()


class _Watched:
    """Every request under an id of its own, which the answer and the log carry; no traceback leaves the house."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["state"] = {**scope.get("state", {}), "id": (id := secrets.token_hex(4))}
        status, started = 0, time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = id
            await send(message)

        with self.metrics.open.track_inprogress():
            try:
                await self.app(scope, receive, sending)
            except Exception:
                _log.exception("%s failed", id)  # the client has been told no more than that
            finally:
                self._note(scope, status, time.perf_counter() - started, id)

    def _note(self, scope: Scope, status: int, seconds: float, id: str) -> None:
        path = scope["path"] if scope["path"] in _PATHS else "other"  # what strangers write stays out of the log
        _log.info("%s %s %s %d %.3f s", id, scope["method"], path, status, seconds)
        self.metrics.requests.labels(path, status).inc()
        self.metrics.seconds.labels(path).observe(seconds)


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _refused(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, RefusedError)
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return PlainTextResponse(f"{fault.text}\n", fault.status, headers={**_ANY_ORIGIN, **headers})


async def _left(request: Request, fault: Exception) -> Response:
    return PlainTextResponse("The client has left.\n", 499)


async def _no_such(request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    text = f"No handler for the given URL '{request.url.path[:200]}'\n" if fault.status_code == 404 else fault.detail
    return PlainTextResponse(text, fault.status_code, headers=fault.headers)


async def _failed(request: Request, fault: Exception) -> Response:
    text = f"An internal error occurred during processing. The log has more under {request.state.id}.\n"
    return PlainTextResponse(text, 500)


def application(service: Service) -> ASGIApp:
    """The service as an ASGI application."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        service.close()

    faults = {RefusedError: _refused, ClientDisconnect: _left, HTTPException: _no_such, Exception: _failed}
    inner = Starlette(routes=_routes(service), lifespan=lifespan, exception_handlers=faults)
    inner.router.redirect_slashes = False
    return _Watched(inner, service.metrics)


def _routes(service: Service) -> list[Route]:
    return [
        Route("/models", service.models, methods=["GET", "POST"]),
        Route("/process", service.process, methods=["GET", "POST"]),
        *(Route(path, service.weblicht, methods=["POST"]) for path in _WEBLICHT),
        Route("/health", service.health),
        Route("/metrics", service.measures),
    ]
