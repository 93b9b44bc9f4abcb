"""The item tower as a graph that places items which came after the training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.graphs import export_graph
from pipeline.tower_inputs import Prepared
from towers.lenders import Lenders
from towers.module import TwoTower

if TYPE_CHECKING:
    from pipeline.bundle_source import BundleSource

GRAPH = "item_tower.onnx"


class NewItemGraph(nn.Module):
    """What ``embed`` makes of an item without events: its content, and the id residual that items like it lend."""

    content: Tensor
    residual: Tensor

    def __init__(self, towers: TwoTower, lenders: Lenders | None) -> None:
        super().__init__()
        self.item, self.nearest = towers.item, 0 if lenders is None else lenders.nearest
        dim = towers.settings["dim"]
        self.register_buffer("content", torch.zeros(0, dim) if lenders is None else lenders.content)
        self.register_buffer("residual", torch.zeros(0, dim) if lenders is None else lenders.residual)

    def forward(
        self,
        text: Tensor,
        categorical: Tensor,
        numeric: Tensor,
        numeric_mask: Tensor,
        vectors: Tensor,
        vectors_mask: Tensor,
    ) -> Tensor:
        """Return unit vectors, ``[items, dim]``; the arguments are fields of ``ItemInputs``."""
        content = self.item.content(text, categorical, numeric, numeric_mask, vectors, vectors_mask)
        if not self.nearest:
            return F.normalize(content, dim=1)
        lenders = Lenders(self.content, self.residual, self.nearest)
        own = lenders.lend_few(F.normalize(content, dim=1))
        return F.normalize(content + self.item.capped(own, content), dim=1)


def write_item_tower(folder: Path, source: BundleSource) -> dict[str, Any]:
    """Write the graph; return what the manifest says of it."""
    module, prepared = source.towers, Prepared.open(source.prepared)
    told = module.settings
    module.attach(prepared.catalogue(source.encoder, source.config.text, told["id_min_events"], told["popularity"]))
    with torch.no_grad():
        graph = NewItemGraph(module, module.lenders()).eval()
    inputs = ("text", "categorical", "numeric", "numeric_mask", "vectors", "vectors_mask")
    export_graph(
        graph,
        folder / GRAPH,
        example=_items(module, 2),
        check=_clear(graph, _items(module, 64), 5),
        outputs=["items"],
        free={name: {0: "items"} for name in inputs},
    )
    return {"dim": told["dim"], "lenders": len(graph.content)}


def _clear(graph: NewItemGraph, items: dict[str, Tensor], count: int) -> dict[str, Tensor]:
    """Return the items whose last lender is nearest by far: of two as near, either may lend, and graphs differ."""
    chosen = torch.arange(count)
    if graph.nearest and graph.nearest < len(graph.content):
        with torch.no_grad():
            content = F.normalize(graph.item.content(**items), dim=1)
            near = (content @ graph.content.T).topk(graph.nearest + 1, dim=1).values
            chosen = (near[:, -2] - near[:, -1]).topk(count).indices
    return {name: tensor[chosen] for name, tensor in items.items()}


def _items(module: TwoTower, count: int) -> dict[str, Tensor]:
    """Return made-up items."""
    draw = torch.Generator().manual_seed(count)
    known = module.facts.items
    numbers, width = known.numeric.shape[1], known.vectors.shape[1]
    return {
        "text": torch.randn(count, known.text.shape[1], generator=draw),
        "categorical": torch.zeros(count, known.categorical.shape[1], dtype=torch.int64),
        "numeric": torch.randn(count, numbers, generator=draw),
        "numeric_mask": torch.ones(count, numbers),
        "vectors": torch.randn(count, width, generator=draw),
        "vectors_mask": torch.ones(count),
    }
