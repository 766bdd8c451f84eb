"""What the service counts, in the format of Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The counts of one service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "sublingual_requests", "Requests answered.", ["path", "status"], registry=self._registry
        )
        self.seconds = Histogram(
            "sublingual_request_seconds",
            "From a request's arrival to its answer.",
            ["path"],
            registry=self._registry,
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300),
        )
        self.words = Counter("sublingual_words", "Words in answers.", ["model"], registry=self._registry)
        self.open = Gauge(
            "sublingual_open_requests", "Requests being received, waiting or worked on.", registry=self._registry
        )
        self.models = Gauge("sublingual_models_in_memory", "Models in memory.", registry=self._registry)
        self.bytes = Gauge("sublingual_parameter_bytes", "Bytes of all parameters in memory.", registry=self._registry)

    def text(self) -> bytes:
        """All counts as Prometheus reads them."""
        return generate_latest(self._registry)
