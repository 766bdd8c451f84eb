"""Adaptations that the page asks for: one at a time, in a thread of their own, each watched by its id."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Literal

import torch

from sublingual.adaptation import SHARED, Adapted, adapt, config_for
from sublingual.data.conllu import Sentence
from sublingual.errors import LanguageError, SublingualError
from sublingual.languages import Language
from sublingual.parsing import Parser
from sublingual.runtime import give_back_memory
from sublingual.service.answers import StoppedError
from sublingual.service.limits import RefusedError
from sublingual.service.offers import Offer, offers
from sublingual.tagging import n_tagged, with_tagger
from sublingual.transfer import Transfer, transfer

_log = logging.getLogger(__name__)
_WAITING, _REMEMBERED = 4, 50
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_NAME = 60
_RETRY_AFTER = 30  # seconds


@dataclass(frozen=True)
class Order:
    """What to adapt: the model, the annotated sentences, the new model's name, its language (if known), gradient steps.

    shared: of the encoder its biases and norms alone, so that the service holds the rest once for all such models.
    """

    offer: Offer
    sentences: Sequence[Sentence]
    name: str
    language: Language | None
    steps: int
    shared: bool = False
    seed: int = 0


@dataclass(frozen=True)
class Now:
    """How far a job is. `seconds` have passed since it began; `result` is there when it is done, `fault` when it failed."""

    id: str
    name: str
    state: Literal["waiting", "running", "saving", "done", "failed", "stopped"]
    step: int
    steps: int
    seconds: float = 0.0
    loss: float | None = None
    fault: str = ""
    result: dict[str, Any] | None = None

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "stopped")


class _Job:
    """An order, how far it is, and the event that stops it."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.stop = Event()
        self.now = Now(secrets.token_hex(8), order.name, "waiting", 0, order.steps)
        self._began = time.monotonic()

    def begin_(self) -> None:
        self._began = time.monotonic()
        self.tell_(state="running")

    def tell_(self, **changes: Any) -> None:
        self.now = replace(self.now, seconds=round(time.monotonic() - self._began, 2), **changes)


class Jobs:
    """The adaptations of one service. New models are written into `folder`, one folder each; `add` is told of each."""

    def __init__(self, folder: Path, *, device: torch.device | str, add: Callable[[Offer], None]) -> None:
        self.folder = folder
        self._device = device
        self._add = add
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="adaptation")
        self._jobs: OrderedDict[str, _Job] = OrderedDict()

    def submit(self, order: Order) -> Now:
        """Puts the order in the queue. Raises RefusedError for a name that cannot be, and where too many wait."""
        self._refuse_name(order.name)
        if sum(not job.now.ended for job in self._jobs.values()) > _WAITING:
            raise RefusedError("Too many adaptations wait. Try again later.", status=503, retry_after=_RETRY_AFTER)
        job = _Job(order)
        self._jobs[job.now.id] = job
        while len(self._jobs) > _REMEMBERED:
            self._jobs.popitem(last=False)
        self._thread.submit(self._run, job)
        return job.now

    def find(self, id: str) -> Now | None:
        """How far the job of that id is; None where there is none."""
        job = self._jobs.get(id)
        return None if job is None else job.now

    def stop(self, id: str) -> Now | None:
        """Has the job end after its present step, without a model; None where there is none of that id."""
        job = self._jobs.get(id)
        if job is None:
            return None
        job.stop.set()
        if job.now.state == "waiting":
            job.tell_(state="stopped")
        return job.now

    def close(self) -> None:
        """Stops what runs and ends the thread."""
        for job in self._jobs.values():
            job.stop.set()
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _refuse_name(self, name: str) -> None:
        if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
            raise RefusedError(
                f"The name '{name[:100]}' cannot be a model's: lower-case letters a to z, digits and single hyphens between "
                f"them, at most {_LONGEST_NAME}."
            )
        taken = {job.order.name for job in self._jobs.values() if not job.now.ended}
        if name in taken or (self.folder / name).exists():
            raise RefusedError(f"There is a model '{name}' already. Choose another name.")

    def _run(self, job: _Job) -> None:
        if job.stop.is_set():
            return
        job.begin_()
        try:
            result = self._adapted(job)
        except StoppedError:
            job.tell_(state="stopped")
        except SublingualError as fault:
            job.tell_(state="failed", fault=str(fault))
        except Exception:
            _log.exception("adaptation %s failed", job.now.id)
            job.tell_(state="failed", fault=f"An internal error occurred. The log has more under {job.now.id}.")
        else:
            job.tell_(state="done", result=result)
        finally:
            give_back_memory()
        _log.info("adaptation %s %s after %.1f s", job.now.id, job.now.state, job.now.seconds)

    def _adapted(self, job: _Job) -> dict[str, Any]:
        """Does the job; returns what the page tells of it."""
        order = job.order
        base = Parser.from_pretrained(order.offer.folder, device=self._device)
        right, n_words = agreement(order.sentences, base.parse(order.sentences))

        def progress(step: int, loss: float) -> None:
            if job.stop.is_set():
                raise StoppedError
            job.tell_(step=step, loss=round(loss, 4))

        found = _nearest(base, order.language)
        config = replace(config_for(base), steps=order.steps, **(SHARED if order.shared else {}))
        adapted = adapt(
            base,
            order.sentences,
            config=config,
            seed=order.seed,
            gates=None if found is None else found.gates,
            progress=progress,
        )
        job.tell_(state="saving")
        folder = self.folder / order.name
        self._save(adapted, base, order, {"adaptation": asdict(config)}, folder)
        self._add(offers([f"{order.name}={folder}"]).default)
        return {
            "model": order.name,
            "folder": str(folder),
            "losses": [round(loss, 4) for loss in adapted.losses],
            "before": round(adapted.before, 4),
            "after": round(adapted.after, 4),
            "new_labels": list(adapted.new_labels),
            "subnetwork": None if found is None else found.language,
            "in_full": bool(base.subnetworks) and adapted.parser.gates is None,
            "right_before": right,
            "words": n_words,
            "tagged": n_tagged(order.sentences),
        }

    def _save(self, adapted: Adapted, base: Parser, order: Order, settings: dict[str, Any], folder: Path) -> None:
        support = {
            "file": "corrected on the page",
            "use": "support",
            "sentences": len(order.sentences),
            "words": sum(len(sentence.words) for sentence in order.sentences),
        }
        about = replace(
            base.about,
            language=order.language.code if order.language else base.about.language,
            seeds={**base.about.seeds, "adaptation": order.seed},
            settings={**base.about.settings, **settings},
            data=(*base.about.data, support),
            note=f"Adapted on the page from {order.offer.name}: {order.steps} steps, {len(order.sentences)} sentences.",
            scores={},
        )
        parser = with_tagger(adapted.parser, order.sentences, seed=order.seed)
        replace(parser, about=about).save_pretrained(folder)


def _nearest(parser: Parser, language: Language | None) -> Transfer | None:
    """The subnetwork of the nearest language; None where the parser has none, or nothing says which is near."""
    if not parser.subnetworks or language is None:
        return None
    try:
        return transfer(parser, language.code)
    except LanguageError:
        return None


def agreement(gold: Sequence[Sentence], parsed: Sequence[Sentence]) -> tuple[int, int]:
    """Of the words that have a head in `gold`, how many have the same head and label in `parsed`; and how many there are."""
    pairs = [
        (head == other and label == found)
        for a, b in zip(gold, parsed, strict=True)
        for head, label, other, found in zip(a.heads, a.labels, b.heads, b.labels, strict=True)
        if head is not None
    ]
    return sum(pairs), len(pairs)
