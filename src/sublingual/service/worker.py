"""One thread that does all the work, one request after the other; a bounded number may wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from threading import BoundedSemaphore, Event
from typing import Any, TypeVar

from sublingual.service.limits import Limits, RefusedError

_RETRY_AFTER = 5  # seconds
T = TypeVar("T")


class Worker:
    """Owns the thread in which networks run. What it does for one request never depends on another."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="parser")
        self._places = BoundedSemaphore(limits.queue)

    async def do(self, work: Callable[[Event], T], *, gone: Callable[[], Coroutine[Any, Any, None]]) -> T:
        """What `work` returns or raises. It is given an event that is set when nobody waits for it any more: when the time
        is over, or when `gone`, which waits until the client has left, returns first.

        Raises RefusedError (503) where too many wait already, or where the time is over.
        """
        future = self._submit(work, stop := Event())
        answer, leaving = asyncio.wrap_future(future), asyncio.create_task(gone())
        either: set[asyncio.Future[Any]] = {answer, leaving}
        try:
            await asyncio.wait(either, timeout=self._limits.seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return answer.result()
        finally:
            stop.set()
            answer.cancel()  # if it waits still, it never begins
            leaving.cancel()
        if leaving.done() and not leaving.cancelled():
            raise RefusedError("The client has left.", status=499)
        raise RefusedError(
            f"No answer within {self._limits.seconds:g} s: the service is busy, or the text is long. Send it in parts.",
            status=503,
            retry_after=_RETRY_AFTER,
        )

    def _submit(self, work: Callable[[Event], T], stop: Event) -> Future[T]:
        busy = RefusedError("The service is busy. Try again later.", status=503, retry_after=_RETRY_AFTER)
        if not self._places.acquire(blocking=False):
            raise busy
        try:
            future = self._thread.submit(work, stop)
        except RuntimeError as fault:  # it is shutting down
            self._places.release()
            raise busy from fault
        future.add_done_callback(lambda _: self._places.release())
        return future

    def close(self) -> None:
        """Ends the thread; what waits is dropped, what is being done is waited for."""
        self._thread.shutdown(wait=True, cancel_futures=True)
