"""The two towers joined for training: batches in, losses and rankings out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import checkpoint

from commerce.session_statistics import STATISTICS
from learning.gather import gather, mean_of, share_of_mean, total
from learning.metrics import NDCG
from learning.optimizer import parameter_groups, warmup_cosine
from learning.row_updates import RowAdamW, mean_rows
from towers.batches import Batch
from towers.catalogue import Catalogue
from towers.intent import IntentHead
from towers.item import ItemInputs, ItemTower
from towers.lenders import MOST_LENDERS, Lenders, evenly
from towers.losses import catalogue_loss, mined_loss, pool_chance, pool_loss, taught_loss
from towers.masks import excluded, not_available
from towers.texts import TunedTexts, mix
from towers.user import UserTower
from towers.validation import Asked
from towers.whole import item_blocks, top_items

# exp(4.6) = 100: a temperature below .01 makes one near miss outweigh everything (CLIP, Radford et al. 2021).
_LARGEST_LOG_SCALE = 4.6
_RESIDUALS = "item.residual.weight"


@dataclass(frozen=True)
class Negatives:
    """What every state of a step is told apart from, alike on every rank."""

    vectors: Tensor
    """``[pool, dim]``."""
    codes: Tensor
    """``[pool]`` int64, distinct."""
    log_chance: Tensor | None
    """``[pool]``: log p of each being in the pool; None for the whole catalogue, which needs no correction."""


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
            id_rows=settings["id_updates"] == "rows",
        )
        if self.item.residual.sparse:
            # Ranks exchange its rows in on_after_backward: what DDP adds up, it would add up as a whole table. DDP has
            # no public way to leave a parameter out; this is the one that its authors point to.
            kept = DistributedDataParallel._set_params_and_buffers_to_ignore_for_model
            kept(self, [_RESIDUALS])  # type: ignore[no-untyped-call]
        profile = "profile" in settings["reads"]
        self.user = UserTower(
            text_dim=known.text_dim,
            categories=known.user_categories if profile else [],
            numbers=known.user_numbers if profile else 0,
            dim=settings["dim"],
            layers=settings["layers"],
            heads=settings["heads"],
            length=settings["history_length"],
            dropout=settings["dropout"],
            behaviour="behaviour" in settings["reads"],
            searches="searches" in settings["reads"],
            relative_time=settings["relative_time"],
        )
        # Fitted afterwards, on finished states; a parameter that never gets a gradient would make ranks wait for it.
        self.intent = IntentHead(settings["dim"], len(STATISTICS)).requires_grad_(False)
        self.log_scale = nn.Parameter(torch.tensor(-float(torch.tensor(settings["temperature"]).log())))
        self.register_buffer("residual", torch.zeros(known.items, dtype=torch.int64))
        self.ndcg = NDCG(10)
        self.catalogue: Catalogue | None = None
        self.item_texts: TunedTexts | None = None
        self.query_texts: TunedTexts | None = None
        self.steps, self.rate = 0, 1.0

    def attach(self, catalogue: Catalogue, *, steps: int = 0) -> None:
        """Give the module what it looks up.

        Args:
            catalogue: items, queries and users by code.
            steps: steps of the whole training, for the schedule.
        """
        self.catalogue, self.steps = catalogue, steps
        self.residual.copy_(catalogue.items.residual)

    def refine(self, steps: int, rate: float) -> None:
        """Let the trainings to come be short and slow.

        Args:
            steps: of each, for the schedule.
            rate: their peak learning rates as a share, in (0, 1], of those configured.
        """
        self.steps, self.rate = steps, rate

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
        if self.item.residual.sparse and torch.distributed.is_initialized():
            # DDP leaves this table alone, and its first values may differ in the last bit from machine to machine.
            torch.distributed.broadcast(self.item.residual.weight.data, 0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return this rank's loss."""
        loss, count = self.loss(batch)
        self.log("train/loss", mean_of(loss, count), prog_bar=True, batch_size=len(batch.user))
        return share_of_mean(loss, count)

    def on_after_backward(self) -> None:
        """Bring the ranks' sparse gradients together; DDP does it for all others."""
        table = self.item.residual.weight
        if table.grad is not None and table.grad.is_sparse:
            table.grad = mean_rows(table.grad)

    def loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of weighted losses over the batch's trained states, and the sum of weights.

        With ``chunk_users`` histories are read and scored in parts. Of a part only its loss stays; what led to it is
        computed again, with the same dropout, when its gradient is due (GradCache, Gao et al. 2021, by activation
        checkpointing). The pool is whole for every part, so parts change memory and time and nothing else.
        """
        learned = torch.cat([batch.target, batch.mined[batch.mined > 0] - 1])
        items = self.encode_items(batch.encoded, batch.encoded[learned])
        queries = self.encode_asked(batch)
        negatives, a_lesson = self._negatives(batch, items), self._lesson_weight(batch)
        chunk = self.settings["chunk_users"]
        if not chunk:
            return self._part_loss(batch, items, queries, negatives, a_lesson), batch.weight.sum()
        parts = [
            checkpoint(self._part_loss, part, items, queries, negatives, a_lesson, use_reentrant=False)
            for part in batch.parts(chunk)
        ]
        return torch.stack(parts).sum(), batch.weight.sum()

    def encode_items(self, codes: Tensor, positives: Tensor | None = None, lenders: Lenders | None = None) -> Tensor:
        """Return item vectors, ``[codes, dim]``.

        Args:
            codes: ``[codes]`` int64, ascending.
            positives: codes among them whose texts are to be encoded anew, where the encoder is trained along.
            lenders: of ``lenders``, for vectors to rank with; none in training.
        """
        inputs = self._inputs(codes, positives)
        chunk = self.settings["chunk_users"] * self.settings["history_length"]
        if not (chunk and torch.is_grad_enabled()):
            return self.item.encode(inputs, lenders)
        parts = [inputs.rows(slice(start, start + chunk)) for start in range(0, len(codes), chunk)]
        return torch.cat([checkpoint(self.item.encode, part, use_reentrant=False) for part in parts])

    @torch.no_grad()
    def lenders(self) -> Lenders | None:
        """Return the items whose id residuals those without may borrow; None where none does, or none can."""
        rows, nearest = self.facts.items.residual, self.settings["id_lent"]
        if not nearest or bool((rows > 0).all()) or not bool((rows > 0).any()):
            return None
        codes = evenly((rows > 0).nonzero()[:, 0], MOST_LENDERS)
        blocks = [codes[block] for block in item_blocks(len(codes))]
        content, residual = zip(*(self.item.parts(self._inputs(block)) for block in blocks), strict=True)
        return Lenders(F.normalize(torch.cat(content), dim=1), torch.cat(residual), nearest)

    def _inputs(self, codes: Tensor, positives: Tensor | None = None) -> ItemInputs:
        """Return what the item tower reads of some items, texts as they are encoded now."""
        known = self.facts.items
        inputs = known if len(codes) == len(known) else known.rows(codes)
        if self.item_texts is not None:
            text = self.item_texts.vectors[codes]
            if positives is not None:
                fresh, vectors = self.item_texts.fresh(positives)
                text = mix(text, torch.searchsorted(codes, fresh), vectors)
            inputs = replace(inputs, text=text)
        return inputs

    def encode_queries(self, codes: Tensor) -> Tensor:
        """Return query text vectors, ``[codes, text_dim]``, of query codes ``[codes]``, ascending."""
        if self.query_texts is None:
            return self.facts.queries[codes]
        stale = self.query_texts.vectors[codes]
        if not self.training:
            return stale
        fresh, vectors = self.query_texts.fresh(codes)
        return mix(stale, torch.searchsorted(codes, fresh), vectors)

    def encode_asked(self, batch: Batch | Asked) -> Tensor:
        """Return the projected vectors of a batch's queries, ``[asked, dim]``."""
        return self.user.query(self.encode_queries(batch.asked))  # type: ignore[no-any-return]

    def read(self, batch: Batch | Asked, items: Tensor, queries: Tensor) -> Tensor:
        """Return the states of a batch's users, ``[batch, length + 1, dim]``.

        Args:
            batch: histories.
            items: ``[encoded, dim]``, the item vectors that it refers to.
            queries: ``[asked, dim]`` of ``encode_asked``.
        """
        events = F.embedding(batch.item, F.pad(items, (0, 0, 1, 0)))
        searches = F.embedding(batch.query, F.pad(queries, (0, 0, 1, 0)))
        states: Tensor = self.user.states(events, searches, batch.action, batch.gap, *self.facts.users.rows(batch.user))
        return states

    def _part_loss(
        self, batch: Batch, items: Tensor, queries: Tensor, negatives: Negatives, a_lesson: Tensor
    ) -> Tensor:
        """Return the sum of weighted losses of a part of a batch, against the whole pool."""
        states = self.read(batch, items, queries)[batch.row, batch.place]
        users, scale = self.user.vectors(states), self.scale
        mask = self._excluded(batch, negatives.codes)
        positives = F.embedding(batch.target, items)
        if negatives.log_chance is None:
            loss = catalogue_loss(users, items, batch.target, batch.weight, scale, mask)
        else:
            loss = pool_loss(users, positives, negatives.vectors, negatives.log_chance, mask, batch.weight, scale)
        if batch.mined.shape[1]:
            mined = F.embedding(batch.mined, F.pad(items, (0, 0, 1, 0)))
            harder = mined_loss(users, positives, mined, batch.mined == 0, batch.weight, scale)
            loss = loss + self.settings["mined_weight"] * harder
        if batch.taught.shape[1]:
            lists = F.embedding(batch.taught, F.pad(items, (0, 0, 1, 0)))
            temperature, absent = self.settings["teaching_temperature"], batch.taught == 0
            # The towers' temperature belongs to their own loss: the order is taught, not how sure to be of it.
            apart = taught_loss(
                users[batch.pupil], lists, batch.lesson, absent, scale.detach(), temperature=temperature
            )
            loss = loss + a_lesson * apart
        return loss

    def _lesson_weight(self, batch: Batch) -> Tensor:
        """Return what a lesson counts, scalar: the lessons of all ranks together as much as all their targets, times
        the setting, so that it does not hang on how many there are."""
        if not batch.taught.shape[1]:
            return batch.weight.new_zeros(())
        weights, lessons = total(batch.weight.sum()), total(batch.weight.new_tensor(float(len(batch.pupil))))
        weight: Tensor = self.settings["teaching"] * weights / lessons.clamp(min=1.0)
        return weight

    def _negatives(self, batch: Batch, items: Tensor) -> Negatives:
        """Return the pool of all ranks, their vectors with gradient, and the chance of each to be in it."""
        if self.settings["negatives"] == "all":
            return Negatives(items, batch.pool, None)
        facts, settings = self.facts, self.settings
        codes = gather(batch.pool)
        chance = pool_chance(
            facts.shares[codes],
            int(batch.drawn),
            len(facts.items),
            settings["uniform_negatives"],
            settings["popular_negatives"],
            facts.chances[codes],
        )
        own = F.embedding(torch.searchsorted(batch.encoded, batch.pool), items)
        return Negatives(gather(own), codes, chance.log().float())

    def _excluded(self, batch: Batch, pool: Tensor) -> Tensor:
        facts = self.facts
        mask = excluded(
            pool,
            batch.encoded[batch.target],
            batch.row,
            len(batch.user),
            batch.others,
            batch.equivalents,
        )
        if not facts.always_open:
            mask |= not_available(pool, batch.moment, facts.since, facts.until)
        return mask

    def on_validation_epoch_start(self) -> None:
        """Encode the catalogue once; its texts too, where the encoder is trained along."""
        for texts in (self.item_texts, self.query_texts):
            if texts is not None:
                texts.refresh()
        self._ranked_items = torch.empty(len(self.facts.items), self.settings["dim"], device=self.device)
        lenders = self.lenders()
        for block in item_blocks(len(self._ranked_items)):
            codes = torch.arange(block.start, block.stop, device=self.device)
            self._ranked_items[block] = self.encode_items(codes, lenders=lenders)

    def validation_step(self, batch: Asked, batch_idx: int) -> None:
        """Rank the whole catalogue for some requests."""
        items, facts = self._ranked_items, self.facts
        states = self.read(batch, items[batch.encoded], self.encode_asked(batch))
        users = self.user.vectors(states[torch.arange(len(states)), batch.count])
        shut = (
            None
            if facts.always_open
            else partial(not_available, moment=batch.moment, since=facts.since, until=facts.until)
        )
        with torch.autocast(self.device.type, enabled=False):
            best = top_items(users.float(), items, 10, batch.hidden, shut)
        self.ndcg.update(best, batch.relevant)
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
            learning_rate=self.rate * settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            rates={"item_texts.": self.rate * encoder_rate},
            exempt=("log_scale",),
        )
        optimizer = RowAdamW(groups, fused=True)
        schedule = warmup_cosine(optimizer, self.steps, settings["warmup_share"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
