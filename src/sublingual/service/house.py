"""What all addresses of a service share: its models, the limits, the counts, the one thread that parses."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from typing import TypeVar

from starlette.requests import Request

from sublingual.service.limits import Limits
from sublingual.service.metrics import Metrics
from sublingual.service.offers import Offer, Offers
from sublingual.service.shelf import Shelf
from sublingual.service.worker import Worker

T = TypeVar("T")


class House:
    """The parts of one service. `offers` is replaced as a whole where a model comes in: who holds it keeps what it had."""

    def __init__(self, offers: Offers, shelf: Shelf, limits: Limits) -> None:
        self.offers = offers
        self.shelf = shelf
        self.limits = limits
        self.metrics = Metrics()
        self._worker = Worker(limits)

    def add(self, offer: Offer) -> None:
        """Takes in a model, after all others."""
        self.offers = Offers((*self.offers.models, offer))

    async def do(self, work: Callable[[Event], T], request: Request) -> T:
        """What `work` returns, done in its turn for that request; see `Worker.do`."""

        def counted(stop: Event) -> T:
            found = work(stop)
            self.metrics.models.set(len(self.shelf))
            self.metrics.bytes.set(self.shelf.n_bytes())
            return found

        return await self._worker.do(counted, gone=lambda: _gone(request))

    def close(self) -> None:
        """Ends the thread that works."""
        self._worker.close()


async def _gone(request: Request) -> None:
    """Returns when the client has closed the connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
