"""The two towers joined for training: batches in, losses and rankings out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from learning.gather import gather, ranks, share_of_mean, total
from learning.metrics import NDCG
from learning.optimizer import parameter_groups, warmup_cosine
from towers.batches import Batch
from towers.catalogue import Catalogue
from towers.intent import IntentHead
from towers.item import ItemTower
from towers.losses import catalogue_loss, pool_chance, pool_loss
from towers.masks import excluded, not_available, repeats
from towers.texts import TunedTexts, mix
from towers.user import UserTower
from towers.validation import Asked

# exp(4.6) = 100: a temperature below .01 makes one near miss outweigh everything (CLIP, Radford et al. 2021).
_LARGEST_LOG_SCALE = 4.6


@dataclass(frozen=True)
class Shape:
    """Widths and table sizes that the shop's data decide."""

    text_dim: int
    items: int
    residuals: int
    """Items with an id residual."""
    item_categories: list[int]
    """Codes of each categorical item feature, 0 included."""
    item_numbers: int
    vector_dim: int
    user_categories: list[int]
    user_numbers: int


class TwoTower(L.LightningModule):
    """Places users near the items they go on to choose.

    ``item``, ``user`` and ``intent`` are its parts. ``load_from_checkpoint(path)`` needs nothing but the file; what it
    looks up in training comes with ``attach``.
    """

    residual: Tensor
    """``[items]`` int64: row of each item's id residual."""

    def __init__(self, shape: dict[str, Any], settings: dict[str, Any]) -> None:
        """Build the towers.

        Args:
            shape: ``asdict(Shape)``. Plain dicts, because a dataclass in a checkpoint does not load.
            settings: ``asdict(TowersConfig)``.
        """
        super().__init__()
        self.save_hyperparameters()
        self.settings = settings
        known = Shape(**shape)
        self.item = ItemTower(
            text_dim=known.text_dim,
            categories=known.item_categories,
            numbers=known.item_numbers,
            vector_dim=known.vector_dim,
            residuals=known.residuals,
            dim=settings["dim"],
            id_cap=settings["id_cap"],
            id_drop=settings["id_drop"],
        )
        self.user = UserTower(
            text_dim=known.text_dim,
            categories=known.user_categories,
            numbers=known.user_numbers,
            dim=settings["dim"],
            layers=settings["layers"],
            heads=settings["heads"],
            length=settings["history_length"],
            dropout=settings["dropout"],
        )
        self.intent = IntentHead(settings["dim"])
        self.log_scale = nn.Parameter(torch.tensor(-float(torch.tensor(settings["temperature"]).log())))
        self.register_buffer("residual", torch.zeros(known.items, dtype=torch.int64))
        self.ndcg = NDCG(10)
        self.catalogue: Catalogue | None = None
        self.item_texts: TunedTexts | None = None
        self.query_texts: TunedTexts | None = None
        self.steps = 0

    def attach(self, catalogue: Catalogue, *, steps: int = 0) -> None:
        """Give the module what it looks up.

        Args:
            catalogue: items, queries and users by code.
            steps: steps of the whole training, for the schedule.
        """
        self.catalogue, self.steps = catalogue, steps
        self.residual.copy_(catalogue.items.residual)

    def tune(self, items: TunedTexts, queries: TunedTexts) -> None:
        """Train the encoder of item and query texts along; it is one and the same in both."""
        self.item_texts, self.query_texts = items, queries

    @property
    def facts(self) -> Catalogue:
        """The attached catalogue."""
        assert self.catalogue is not None, "attach a catalogue first"
        return self.catalogue

    @property
    def scale(self) -> Tensor:
        """The inverse temperature, learnt."""
        return self.log_scale.clamp(max=_LARGEST_LOG_SCALE).exp()

    def on_fit_start(self) -> None:
        """Bring the catalogue to where the model is."""
        self.catalogue = self.facts.to(self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return this rank's loss."""
        loss, count = self.loss(batch)
        self.log("train/loss", total(loss) / total(count), prog_bar=True, batch_size=len(batch.user))
        return share_of_mean(loss, count)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of weighted losses over the batch's trained states, and the sum of weights."""
        items = self.encode_items(batch.encoded, batch.encoded[batch.target])
        states = self.read(batch, items)[batch.row, batch.place]
        users = self.user.vectors(states)
        if self.settings["negatives"] == "all":
            mask = self._excluded(batch, batch.pool)
            loss = catalogue_loss(users, items, batch.target, batch.weight, self.scale, mask)
        else:
            loss = self._pool_loss(batch, users, items)
        return loss, batch.weight.sum()

    def encode_items(self, codes: Tensor, positives: Tensor | None = None) -> Tensor:
        """Return item vectors, ``[codes, dim]``.

        Args:
            codes: ``[codes]`` int64, ascending.
            positives: codes among them whose texts are to be encoded anew, where the encoder is trained along.
        """
        known = self.facts.items
        inputs = known if len(codes) == len(known) else known.rows(codes)
        if self.item_texts is not None:
            text = self.item_texts.vectors[codes]
            if positives is not None:
                fresh, vectors = self.item_texts.fresh(positives)
                text = mix(text, torch.searchsorted(codes, fresh), vectors)
            inputs = replace(inputs, text=text)
        return self.item.encode(inputs)

    def encode_queries(self, codes: Tensor) -> Tensor:
        """Return query text vectors, ``[codes, text_dim]``, of query codes ``[codes]``, ascending."""
        if self.query_texts is None:
            return self.facts.queries[codes]
        stale = self.query_texts.vectors[codes]
        if not self.training:
            return stale
        fresh, vectors = self.query_texts.fresh(codes)
        return mix(stale, torch.searchsorted(codes, fresh), vectors)

    def read(self, batch: Batch | Asked, items: Tensor) -> Tensor:
        """Return the states of a batch's users, ``[batch, length + 1, dim]``; ``items``: the vectors it refers to."""
        events = F.embedding(batch.item, F.pad(items, (0, 0, 1, 0)))
        asked = self.user.query(self.encode_queries(batch.asked))
        queries = F.embedding(batch.query, F.pad(asked, (0, 0, 1, 0)))
        states: Tensor = self.user.states(events, queries, batch.action, batch.gap, *self.facts.users.rows(batch.user))
        return states

    def _pool_loss(self, batch: Batch, users: Tensor, items: Tensor) -> Tensor:
        place = torch.searchsorted(batch.encoded, batch.pool.clamp(min=0))
        pool, codes = gather(F.embedding(place, items)), gather(batch.pool)
        codes = codes.masked_fill(repeats(codes), -1) if ranks() > 1 else codes
        facts = self.facts
        chance = pool_chance(
            facts.shares[codes.clamp(min=0)],
            int(total(batch.drawn)),
            len(facts.items),
            self.settings["uniform_negatives"] * ranks(),
        )
        return pool_loss(
            users,
            F.embedding(batch.target, items),
            pool,
            chance.log().float(),
            self._excluded(batch, codes),
            batch.weight,
            self.scale,
        )

    def _excluded(self, batch: Batch, pool: Tensor) -> Tensor:
        facts = self.facts
        mask = excluded(
            pool,
            batch.encoded[batch.target],
            batch.row,
            len(batch.user),
            batch.others,
            batch.equivalents,
            len(facts.items),
        )
        if not facts.always_open:
            mask |= not_available(pool, batch.moment, facts.since, facts.until)
        return mask

    def on_validation_epoch_start(self) -> None:
        """Encode the catalogue once; its texts too, where the encoder is trained along."""
        for texts in (self.item_texts, self.query_texts):
            if texts is not None:
                texts.refresh()
        self._ranked_items = self.encode_items(torch.arange(len(self.facts.items), device=self.device))

    def validation_step(self, batch: Asked, batch_idx: int) -> None:
        """Rank the whole catalogue for some requests."""
        items = self._ranked_items
        states = self.read(batch, items)
        users = self.user.vectors(states[torch.arange(len(states)), batch.count])
        with torch.autocast(self.device.type, enabled=False):
            scores = users.float() @ items.float().T
        scores[batch.hidden[:, 0], batch.hidden[:, 1]] = -torch.inf
        facts = self.facts
        if not facts.always_open:
            everything = torch.arange(len(items), device=self.device)
            scores = scores.masked_fill(not_available(everything, batch.moment, facts.since, facts.until), -torch.inf)
        self.ndcg.update(scores.topk(min(10, scores.shape[1]), dim=1).indices, batch.relevant)
        self.log("val/ndcg@10", self.ndcg, prog_bar=True, batch_size=len(batch.user))

    def on_validation_epoch_end(self) -> None:
        """Free the catalogue's vectors."""
        del self._ranked_items

    def configure_optimizers(self) -> dict[str, Any]:  # type: ignore[override]
        """Return AdamW with its groups, and the schedule that moves every step."""
        settings = self.settings
        encoder_rate = settings["lora_learning_rate" if settings["tuning"] == "lora" else "encoder_learning_rate"]
        groups = parameter_groups(
            self,
            learning_rate=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            rates={"item_texts.": encoder_rate},
            exempt=("log_scale",),
        )
        optimizer = torch.optim.AdamW(groups, fused=True)
        schedule = warmup_cosine(optimizer, self.steps, settings["warmup_share"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
