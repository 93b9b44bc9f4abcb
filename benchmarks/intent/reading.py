"""What the scripts here share: a run's moments as the head reads them, and gradient boosting on the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from commerce.columns import NO_INTENT
from commerce.intent_moments import IntentMoments, moments_within, of_requests
from commerce.records import Requests
from configs.load import load_config
from configs.schema import Config
from pipeline.encoders import towers_encoder
from pipeline.intents import calibration_moments, read_moments, training_moments
from pipeline.run_folder import RunFolder
from pipeline.session_files import read_sessions
from pipeline.tower_inputs import Prepared
from towers.embed import embed_items
from towers.intent import IntentHead, Told, calibrate_intents, fit_intents_by
from towers.module import TwoTower


@dataclass(frozen=True)
class Read:
    """Moments and what is read of them."""

    moments: IntentMoments
    states: Tensor
    statistics: Tensor

    @property
    def labels(self) -> Tensor:
        """int64 ``[moments]``."""
        return torch.from_numpy(self.moments.label.astype(np.int64))

    @property
    def told(self) -> Told:
        """As the head is fitted on them."""
        return self.states, self.statistics, self.labels

    def rows(self, rows: np.ndarray) -> Read:
        """Return some of them."""
        return Read(self.moments.rows(rows), self.states[rows], self.statistics[rows])

    def without(self, states: bool, statistics: np.ndarray | None) -> Read:
        """Return them with the states, or all numbers but ``statistics``, silenced."""
        kept = torch.zeros_like(self.statistics)
        if statistics is not None:
            kept[:, statistics] = self.statistics[:, statistics]
        return Read(self.moments, self.states if states else torch.zeros_like(self.states), kept)


@dataclass(frozen=True)
class Shop:
    """A finished ``train-towers`` (or ``prepare``) as the scripts ask it."""

    config: Config
    run: RunFolder
    prepared: Prepared

    @classmethod
    def open(cls, config: str, overrides: list[str]) -> Shop:
        """Open the run of a config."""
        loaded = load_config(config, overrides)
        run = RunFolder(Path(loaded.run.folder))
        return cls(loaded, run, Prepared.open(run.stage("prepare")))

    @property
    def requests(self) -> Requests:
        """All of them."""
        return Requests.read(self.prepared.folder / "requests.parquet")

    def towers(self, checkpoint: Path | None = None) -> TwoTower:
        """Return the trained towers, or those of another run's checkpoint; the intent head is fitted by the scripts."""
        file = checkpoint or self.run.stage("train-towers") / "model.ckpt"
        kept = torch.load(file, map_location="cpu", weights_only=False)
        module = TwoTower(**kept["hyper_parameters"])
        weights = {name: value for name, value in kept["state_dict"].items() if not name.startswith("intent.")}
        missing = module.load_state_dict(weights, strict=False)
        assert all(name.startswith("intent.") for name in missing.missing_keys), missing
        return self.attached(module)

    def attached(self, module: TwoTower) -> TwoTower:
        """Give towers what they look up."""
        told = module.settings
        encoder = towers_encoder(self.run, self.config.text)
        module.attach(self.prepared.catalogue(encoder, self.config.text, told["id_min_events"], told["popularity"]))
        return module.eval()

    def read(self, module: TwoTower, names: Sequence[str] = ("train", "fit", "test", "within")) -> dict[str, Read]:
        """Return what the head learns from (``train``), is calibrated on (``fit``) and is judged by.

        ``test`` are the labelled requests of the test window, ``within`` the moments in the midst of its sessions.
        """
        histories, seed = self.prepared.histories, self.config.run.seed
        fit = self.requests.of("validation", "fit")
        with np.load(self.prepared.folder / "cuts.npz") as cuts:
            begin = cuts["test"]
        labels = np.load(self.prepared.folder / "position_intents.npy")
        moments = {
            "train": training_moments(self.prepared, seed),
            "fit": IntentMoments.join(
                [of_requests(fit), calibration_moments(self.prepared, np.unique(fit.user), seed)]
            ),
            "test": of_requests(self.requests.of("test")),
            "within": moments_within(histories, begin, histories.offsets[1:], labels),
        }
        items, sessions = embed_items(module), read_sessions(self.prepared.folder)
        return {
            name: Read(found, *read_moments(module, items, histories, sessions, found))
            for name, found in moments.items()
            if name in names
        }

    def test_users(self) -> np.ndarray:
        """Return whose the labelled test requests are."""
        requests = self.requests.of("test")
        return requests.user[requests.intent != NO_INTENT]


def fitted(train: Read, fit: Read) -> IntentHead:
    """Return a head fitted and calibrated."""
    head = IntentHead(train.states.shape[1], train.statistics.shape[1])
    fit_intents_by(head, train.told, fit.told)
    return head


@torch.no_grad()
def chances(head: IntentHead, read: Read) -> np.ndarray:
    """Return a head's probabilities, ``[moments, 3]``."""
    return head(read.states, read.statistics).numpy()


def boosted(train: Read, fit: Read, seed: int, balanced: bool = False):
    """Return a function: moments -> probabilities, of gradient boosting on the statistics, calibrated as the head is.

    scikit-learn's HistGradientBoostingClassifier, stopped early on a tenth of what it learns from.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=300,
        learning_rate=0.06,
        max_leaf_nodes=15,
        l2_regularization=1.0,
        early_stopping=True,
        validation_fraction=0.1,
        n_iter_no_change=15,
        class_weight="balanced" if balanced else None,
        random_state=seed,
    )
    model.fit(train.statistics.numpy(), train.moments.label)
    head = IntentHead(0, 3)  # only its temperature and biases are used
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(3))
    calibrate_intents(head, torch.zeros(len(fit.moments), 0), _scores(model, fit), fit.labels)

    @torch.no_grad()
    def predict(read: Read) -> np.ndarray:
        return head(torch.zeros(len(read.moments), 0), _scores(model, read)).numpy()

    return predict


def _scores(model, read: Read) -> Tensor:
    found = np.zeros((len(read.moments), 3))
    found[:, model.classes_] = model.predict_proba(read.statistics.numpy())
    return torch.from_numpy(np.log(np.clip(found, 1e-7, 1.0)).astype(np.float32))
