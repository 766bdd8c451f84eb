"""The tagger: parts of speech from the outputs of an encoder's layers, by a mix of its own (as eq. 1) and one linear layer.

It reads what the parser's forward pass gives anyway and writes into nothing of it: trees are the same with it or without.
"""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from sublingual.data.tags import TAGS
from sublingual.model.encoder import LayerMix


class Tagger(nn.Module):
    """Scores the seventeen universal tags of each word; untrained, it finds all of them equally good."""

    def __init__(self, *, n_layers: int, hidden_size: int) -> None:
        super().__init__()
        self.mix = LayerMix(n_layers)
        self.norm = nn.LayerNorm(hidden_size, elementwise_affine=False)
        self.scores = nn.Linear(hidden_size, len(TAGS))
        nn.init.zeros_(self.scores.weight)
        nn.init.zeros_(self.scores.bias)

    def forward(
        self, layers: Sequence[Float[Tensor, "words hidden"]], *, dropout: float = 0.0
    ) -> Float[Tensor, "words tags"]:
        """Returns the scores of the words that the layers' outputs are of."""
        mixed = self.norm(self.mix(layers))
        return self.scores(nn.functional.dropout(mixed, dropout, self.training))

    def tags(self, layers: Sequence[Float[Tensor, "words hidden"]]) -> list[str]:
        """Returns the best tag of each word."""
        return [TAGS[i] for i in self(layers).argmax(dim=1).tolist()]
