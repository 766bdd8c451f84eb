"""The service's addresses: UDPipe's /models and /process (and /weblicht), /health, /metrics, and the page's."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sublingual.service.answers import Answer, Question, answer, question_of
from sublingual.service.house import House
from sublingual.service.jobs import Jobs
from sublingual.service.limits import Limits, RefusedError
from sublingual.service.metrics import Metrics
from sublingual.service.offers import Offers
from sublingual.service.page import Page
from sublingual.service.parameters import read_body, read_parameters, text_of
from sublingual.service.shelf import Shelf

_log = logging.getLogger(__name__)
_ANY_ORIGIN = {"Access-Control-Allow-Origin": "*"}  # as UDPipe's service: pages of others may ask for trees
_ACKNOWLEDGEMENTS = ["https://universaldependencies.org"]
_WEBLICHT = {
    "/weblicht/tokenize": {"tokenizer": "normalized_spaces"},
    "/weblicht/tag": {"input": "conllu"},
    "/weblicht/parse": {"input": "conllu", "parser": ""},
}
_PAGE = ("/", "/page", "/api/models", "/api/parse", "/api/jobs", "/api/subnetworks")
_PATHS = ("/models", "/process", "/health", "/metrics", *_WEBLICHT, *_PAGE)


class Service:
    """The service over its models: each method answers one address.

    `adapts_to`: the folder that the page writes new models into; None: it makes none. `loopback`: see `Page`.
    """

    def __init__(
        self, offers: Offers, shelf: Shelf, limits: Limits, *, adapts_to: Path | None = None, loopback: bool = True
    ) -> None:
        self.house = House(offers, shelf, limits)
        self.jobs = None if adapts_to is None else Jobs(adapts_to, device=shelf.device, add=self.house.add)
        self.page = Page(self.house, self.jobs, loopback=loopback)

    @property
    def metrics(self) -> Metrics:
        return self.house.metrics

    async def models(self, request: Request) -> Response:
        """Every model with what it can do, and the default."""
        can = {
            offer.name: ["tokenizer", *(["tagger"] if offer.tags else []), "parser"]
            for offer in self.house.offers.models
        }
        return JSONResponse({"models": can, "default_model": self.house.offers.default.name}, headers=_ANY_ORIGIN)

    async def process(self, request: Request) -> Response:
        """A text in, the sentences out."""
        found = await self._answer(
            question_of(await read_parameters(request, self.house.limits), self.house.offers), request
        )
        reply = {"model": found.model, "acknowledgements": _ACKNOWLEDGEMENTS, "result": found.result}
        return JSONResponse(reply, headers={**_ANY_ORIGIN, "X-Billing-Input-NFC-Len": str(found.n_characters)})

    async def weblicht(self, request: Request) -> Response:
        """The body in, CoNLL-U out, as WebLicht's chains call it."""
        data = text_of(await read_body(request, self.house.limits))
        parameters = {**_WEBLICHT[request.url.path], "data": data, "model": request.query_params.get("model", "")}
        found = await self._answer(question_of(parameters, self.house.offers), request)
        return Response(found.result, media_type="application/conllu", headers=_ANY_ORIGIN)

    async def health(self, request: Request) -> Response:
        """That the service answers, and what it offers."""
        return JSONResponse(
            {"status": "ok", "models": len(self.house.offers.models), "in_memory": len(self.house.shelf)}
        )

    async def measures(self, request: Request) -> Response:
        """The counts for Prometheus."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _answer(self, question: Question, request: Request) -> Answer:
        def work(stop: Event) -> Answer:
            found = answer(question, self.house.shelf, limits=self.house.limits, stop=stop)
            self.metrics.words.labels(found.model).inc(found.n_words)
            return found

        return await self.house.do(work, request)

    def close(self) -> None:
        """Ends the threads that work."""
        if self.jobs is not None:
            self.jobs.close()
        self.house.close()


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
        path = next(
            (known for known in _PATHS if _is_below(scope["path"], known)), "other"
        )  # no stranger's words in the log
        _log.info("%s %s %s %d %.3f s", id, scope["method"], path, status, seconds)
        self.metrics.requests.labels(path, status).inc()
        self.metrics.seconds.labels(path).observe(seconds)


def _is_below(path: str, known: str) -> bool:
    return path == known or (known in ("/page", "/api/jobs") and path.startswith(f"{known}/"))


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
        *service.page.routes(),
    ]
