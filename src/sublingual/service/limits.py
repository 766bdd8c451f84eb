"""What the service bears (`Limits`), and how it refuses the rest (`RefusedError`)."""

from __future__ import annotations

from dataclasses import dataclass, fields

from sublingual.errors import ConfigError


@dataclass(frozen=True)
class Limits:
    """Bounds on what clients may ask for, so that memory and waiting stay bounded whatever they send.

    body: bytes of a request (UDPipe's own service takes 4 MiB).
    words: of all sentences of a request.
    sentence_words, sentence_characters: of one sentence; the scores of a sentence grow with the square of its words.
    queue: requests that wait or are worked on; one more is told to come back.
    seconds: from a request's arrival to its answer; receive_seconds: until its head, and then its body, have come in.
    connections: open ones.

    Raises ConfigError for a bound below 1.
    """

    body: int = 4 << 20
    words: int = 100_000
    sentence_words: int = 1000
    sentence_characters: int = 10_000
    queue: int = 100
    seconds: float = 300.0
    receive_seconds: float = 30.0
    connections: int = 500

    def __post_init__(self) -> None:
        for field in fields(self):
            if not (isinstance(value := getattr(self, field.name), (int, float)) and value > 0):
                raise ConfigError(f"limit {field.name}={value!r}: it is above 0")


class RefusedError(Exception):
    """An answer that is no result: its status, a text for the client, and after how many seconds to come back, if at all."""

    def __init__(self, text: str, *, status: int = 400, retry_after: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status
        self.retry_after = retry_after
