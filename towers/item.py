"""The item tower: text, features, given vectors and an id residual -> a unit vector."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from towers.lenders import Lenders


@dataclass(frozen=True)
class ItemInputs:
    """What the item tower reads of some items; row i of every tensor is one item."""

    text: Tensor
    """``[items, text_dim]``, zeros without a text: float32, or float16 of a file, which is moved to no device."""
    categorical: Tensor
    """``[items, categories]`` int64, 0 for missing or unknown."""
    numeric: Tensor
    """``[items, numbers]`` float32, standardised, 0 where missing."""
    numeric_mask: Tensor
    """``[items, numbers]`` float32, 1 where known."""
    vectors: Tensor
    """``[items, vector_dim]`` float32, made elsewhere, 0 where missing."""
    vectors_mask: Tensor
    """``[items]`` float32, 1 where given."""
    residual: Tensor
    """``[items]`` int64: row of the item's id residual, 0 for an item without one."""
    popularity: Tensor
    """``[items]`` float32: log(1 + times chosen), standardised; 0 where unknown, and for all where it is not told."""

    def __len__(self) -> int:
        return len(self.text)

    def rows(self, rows: Tensor | slice) -> ItemInputs:
        """Return the inputs of some items; ``rows`` is int64 ``[chosen]``, or a stretch."""
        of_text = rows.to(self.text.device) if isinstance(rows, Tensor) else rows
        return ItemInputs(self.text[of_text], *(getattr(self, name)[rows] for name in self._others))

    def to(self, device: torch.device | str) -> ItemInputs:
        """Return the inputs on another device."""
        text = self.text if self.text.dtype == torch.float16 else self.text.to(device)
        return ItemInputs(text, *(getattr(self, name).to(device) for name in self._others))

    @property
    def _others(self) -> list[str]:
        return [name for name in self.__dataclass_fields__ if name != "text"]


# Slope at an average item, and the largest share of a vector's length: the other coordinates keep 80% of theirs.
_FIRST_POPULARITY, _MOST_POPULARITY = 0.3, 0.6


class ItemTower(nn.Module):
    """unit(projection(text, features, given vectors) + id residual).

    Popularity, where it is told, has a coordinate of its own, the last. The residual exists only for items with enough
    events, is at most ``id_cap`` times as long as the rest, and is dropped for a share of the items in a training step,
    so that the rest learns to stand alone, as it must for a new item.
    """

    def __init__(
        self,
        *,
        text_dim: int,
        categories: list[int],
        numbers: int,
        vector_dim: int,
        residuals: int,
        dim: int,
        id_cap: float,
        id_drop: float,
        id_rows: bool = False,
    ) -> None:
        """Build the tower.

        Args:
            text_dim: width of the text vectors.
            categories: number of values of each categorical feature, 0 (missing or unknown) included.
            numbers: number of numeric features.
            vector_dim: width of the given vectors, 0 for none.
            residuals: items that have an id residual.
            dim: width of the item vectors.
            id_cap: largest length of a residual, in units of the projection's length.
            id_drop: share of items without their residual in a training step.
            id_rows: whether the gradient of the residuals is sparse, of the rows that a step reads.
        """
        super().__init__()
        self.text = nn.Linear(text_dim, dim)
        self.categorical = nn.ModuleList(nn.Embedding(count, dim, padding_idx=0) for count in categories)
        self.numeric = nn.Linear(2 * numbers, dim, bias=False) if numbers else None
        self.vectors = nn.Linear(vector_dim, dim) if vector_dim else None
        self.residual = nn.Embedding(residuals + 1, dim, padding_idx=0, sparse=id_rows)
        self.popularity = nn.Parameter(torch.tensor(_FIRST_POPULARITY))
        self.id_cap, self.id_drop = id_cap, id_drop
        for table in (*self.categorical, self.residual):
            assert isinstance(table, nn.Embedding)
            with torch.no_grad():
                table.weight.normal_(std=0.02)
                table.weight[0].zero_()

    def forward(
        self,
        text: Tensor,
        categorical: Tensor,
        numeric: Tensor,
        numeric_mask: Tensor,
        vectors: Tensor,
        vectors_mask: Tensor,
        residual: Tensor,
        popularity: Tensor,
        lenders: Lenders | None = None,
    ) -> Tensor:
        """Return ``[items, dim]`` of unit length; the arguments are the fields of ``ItemInputs``.

        With ``lenders`` an item without an id residual borrows one. Training lends nothing: there content must learn to
        stand alone.
        """
        content = self.content(text, categorical, numeric, numeric_mask, vectors, vectors_mask)
        own = self.residual(residual)
        if lenders is not None:
            without = residual == 0
            own = own.masked_scatter(without[:, None], lenders.lend(content[without]))
        own = self.capped(own, content)
        if self.training and self.id_drop:
            kept = torch.rand(len(own), 1, device=own.device) >= self.id_drop
            own, popularity = own * kept, popularity * kept[:, 0]
        return with_popularity(content + own, _MOST_POPULARITY * torch.tanh(self.popularity * popularity))

    def content(
        self,
        text: Tensor,
        categorical: Tensor,
        numeric: Tensor,
        numeric_mask: Tensor,
        vectors: Tensor,
        vectors_mask: Tensor,
    ) -> Tensor:
        """Return what is known of an item without its id, ``[items, dim]``, of any length."""
        found: Tensor = self.text(text).float()
        for column, table in enumerate(self.categorical):
            found = found + table(categorical[:, column])
        if self.numeric is not None:
            found = found + self.numeric(torch.cat([numeric * numeric_mask, numeric_mask], dim=1))
        if self.vectors is not None:
            found = found + self.vectors(vectors) * vectors_mask[:, None]
        return found

    def capped(self, own: Tensor, content: Tensor) -> Tensor:
        """Return the residuals, at most ``id_cap`` times as long as the content; all ``[items, dim]``."""
        longest = self.id_cap * content.norm(dim=1, keepdim=True)
        shorter: Tensor = (longest / own.norm(dim=1, keepdim=True).clamp(min=1e-6)).clamp(max=1.0)
        return own * shorter

    def encode(self, inputs: ItemInputs, lenders: Lenders | None = None) -> Tensor:
        """Return the vectors of items, ``[items, dim]``."""
        vectors: Tensor = self(**_read(inputs), lenders=lenders)
        return vectors

    def parts(self, inputs: ItemInputs) -> tuple[Tensor, Tensor]:
        """Return content and id residuals as they are added up, ``[items, dim]`` each."""
        read = _read(inputs)
        own, _ = read.pop("residual"), read.pop("popularity")
        content = self.content(**read)
        return content, self.capped(self.residual(own), content)


def _read(inputs: ItemInputs) -> dict[str, Tensor]:
    """Return the inputs by name, those of a file brought to where the others are."""
    read = {name: getattr(inputs, name) for name in inputs.__dataclass_fields__}
    return {**read, "text": inputs.text.to(inputs.residual.device, torch.float32)}


def with_popularity(content: Tensor, popularity: Tensor) -> Tensor:
    """Return unit vectors, ``[items, dim]``, whose last coordinate says how popular an item is beyond its content.

    A part added to the content would be lost, or drown it, when the sum is brought to unit length; a coordinate of its
    own is a bias that each user weighs.

    Args:
        content: ``[items, dim]``, of any length.
        popularity: ``[items]``, in (-1, 1); where it is 0 the vector is the content's direction, unchanged.
    """
    told = (popularity != 0).to(content.dtype)[:, None]
    last = torch.zeros_like(content)
    last[:, -1] = 1.0
    rest = F.normalize(content * (1 - told * last), dim=1)
    return rest * torch.sqrt(1 - popularity[:, None].square()) + last * popularity[:, None]
