"""The page, and what it asks for as JSON under /api: models, trees with their doubts, adaptations, subnetworks.

Everything comes from this service: the page's files are read from the package once, nothing is fetched from elsewhere, and
its content security policy says so to the browser. /api answers this page alone: a page of another origin, or one that
came by another name of this machine, is refused, so that no site can adapt models on its visitors' computers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.resources import files
from threading import Event
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sublingual.confidence import Confident, confident
from sublingual.data.conllu import Sentence
from sublingual.errors import LanguageError
from sublingual.languages import Language, resolve
from sublingual.parsing import Parser
from sublingual.service.answers import go_on, read, refuse_too_much, with_parser
from sublingual.service.house import House
from sublingual.service.jobs import Jobs, Now, Order
from sublingual.service.limits import Limits, RefusedError
from sublingual.service.offers import Offer
from sublingual.service.parameters import read_body, text_of
from sublingual.service.views import of_model, of_sentence, of_subnetworks

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_SAFE = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Text(_Strict):
    """A text to parse, or (`keep`) to show with the trees that it has."""

    data: str
    form: Literal["conllu", "text", "presegmented", "horizontal", "vertical"] = "conllu"
    model: str = ""
    keep: bool = False


class Adaptation(_Strict):
    """Corrected sentences as CoNLL-U, and what to make of them."""

    data: str
    name: str
    model: str = ""
    language: str = ""
    steps: int = Field(20, ge=1, le=200)
    shared: bool = False


Wanted = TypeVar("Wanted", bound=_Strict)


class Page:
    """Answers the page's addresses. `loopback`: the service can be reached from this machine alone."""

    def __init__(self, house: House, jobs: Jobs | None, *, loopback: bool) -> None:
        self._house = house
        self._jobs = jobs
        self._loopback = loopback

    def routes(self) -> list[Route]:
        """Returns the page's addresses: its files, and those under /api."""
        return [
            *(_file(name, content) for name, content in _content().items()),
            Route("/api/models", self.models, methods=["GET"]),
            Route("/api/subnetworks", self.subnetworks, methods=["GET"]),
            Route("/api/parse", self.parse, methods=["POST"]),
            Route("/api/jobs", self.adapt, methods=["POST"]),
            Route("/api/jobs/{id}", self.job, methods=["GET"]),
            Route("/api/jobs/{id}", self.stop, methods=["DELETE"]),
        ]

    async def models(self, request: Request) -> Response:
        """Every model with its language and labels; whether, and where, new ones may be made."""
        self._refuse_strangers(request)
        offered = self._house.offers
        return JSONResponse(
            {
                "models": [of_model(offer) for offer in offered.models],
                "default": offered.default.name,
                "adapts_to": None if self._jobs is None else str(self._jobs.folder),
            }
        )

    async def parse(self, request: Request) -> Response:
        """A text in; its sentences with trees and the probability of each arc out."""
        wanted = await self._wanted(request, Text)
        offer, limits = self._offer(wanted.model), self._house.limits

        def work(stop: Event) -> dict[str, Any]:
            sentences = read(wanted.data, form=wanted.form, heads="partial" if wanted.keep else "ignored")
            refuse_too_much(sentences, limits)
            if wanted.keep or not sentences:
                return {"model": offer.name, "sentences": [of_sentence(sentence) for sentence in sentences]}
            found = with_parser(
                offer, self._house.shelf, sentences, stop, lambda parser: _confident(parser, sentences, stop)
            )
            return {"model": offer.name, "sentences": [of_sentence(one.sentence, one) for one in found]}

        return JSONResponse(await self._house.do(work, request))

    async def adapt(self, request: Request) -> Response:
        """Corrected sentences in; a job that makes a model of them out."""
        wanted = await self._wanted(request, Adaptation)
        if self._jobs is None:
            raise RefusedError("This service makes no models: it was started without --adapt-to FOLDER.", status=403)
        offer = self._offer(wanted.model)
        sentences = read(wanted.data, form="conllu", heads="partial")
        refuse_too_much(sentences, _support_limits(self._house.limits))
        if not any(head is not None for sentence in sentences for head in sentence.heads):
            raise RefusedError("No word of the sentences has a head: check or correct some trees first.")
        if any(offered.name == wanted.name for offered in self._house.offers.models):
            raise RefusedError(f"There is a model '{wanted.name[:100]}' already. Choose another name.")
        language = _language(wanted.language or offer.language)
        now = self._jobs.submit(Order(offer, sentences, wanted.name, language, wanted.steps, wanted.shared))
        return JSONResponse(asdict(now), 202, headers={"Location": f"/api/jobs/{now.id}"})

    async def job(self, request: Request) -> Response:
        """How far a job is."""
        self._refuse_strangers(request)
        return self._of_job(request, None if self._jobs is None else self._jobs.find(request.path_params["id"]))

    async def stop(self, request: Request) -> Response:
        """Ends a job."""
        self._refuse_strangers(request)
        return self._of_job(request, None if self._jobs is None else self._jobs.stop(request.path_params["id"]))

    async def subnetworks(self, request: Request) -> Response:
        """The gates of a model, and those of the languages nearest to its own."""
        self._refuse_strangers(request)
        offer = self._offer(request.query_params.get("model", ""))

        def work(stop: Event) -> dict[str, Any]:
            return of_subnetworks(self._house.shelf.parser(offer), offer)

        return JSONResponse(await self._house.do(work, request))

    def _of_job(self, request: Request, now: Now | None) -> Response:
        if now is None:
            raise RefusedError("There is no such adaptation.", status=404)
        return JSONResponse(asdict(now))

    def _offer(self, name: str) -> Offer:
        offer = self._house.offers.find(name) if name else self._house.offers.default
        if offer is None:
            raise RefusedError(f"The requested model '{name[:100]}' does not exist.")
        return offer

    async def _wanted(self, request: Request, kind: type[Wanted]) -> Wanted:
        self._refuse_strangers(request)
        given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given != "application/json":
            raise RefusedError(f"Unsupported payload Content-Type '{given[:100]}'. Send application/json.")
        body = text_of(await read_body(request, self._house.limits))
        try:
            return kind.model_validate_json(body)
        except ValidationError as fault:
            first = fault.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise RefusedError(
                f"The payload cannot be used: {f'{place[:100]}: ' if place else ''}{first['msg']}."
            ) from fault

    def _refuse_strangers(self, request: Request) -> None:
        """Raises RefusedError (403) for a page that is not ours: its origin, or the name that it calls this machine by."""
        host = request.headers.get("host", "")
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            raise RefusedError("Pages of other sites may not ask for this.", status=403)
        if self._loopback and _name_of(host) not in _LOOPBACK:
            raise RefusedError(f"Ask for it at localhost, not at '{host[:100]}'.", status=403)


def _name_of(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _content() -> dict[str, bytes]:
    """The page's files by name."""
    folder = files("sublingual") / "resources" / "page"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in _TYPES}


def _file(name: str, content: bytes) -> Route:
    media = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"

    async def answer(request: Request) -> Response:
        return Response(content, headers={**_SAFE, "Content-Type": media})

    return Route("/" if name == "index.html" else f"/page/{name}", answer, methods=["GET"])


def _language(name: str) -> Language | None:
    try:
        return resolve(name) if name else None
    except LanguageError as fault:
        raise RefusedError(str(fault)) from fault


def _confident(parser: Parser, sentences: Sequence[Sentence], stop: Event) -> list[Confident]:
    return confident(parser, sentences, drop_deps=True, progress=lambda n: go_on(stop))


def _support_limits(limits: Limits) -> Limits:
    """A tenth of the words that may be parsed at once may be learned from."""
    return replace(limits, words=max(1, limits.words // 10))
