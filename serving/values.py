"""What an answer tells of probabilities, and the order by expected value, as the pipeline makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ranking.probabilities import Probabilities, list_features
from ranking.value import expected_value, order_by_value

if TYPE_CHECKING:
    from retrieval.blending import Found
    from serving.contents import Contents


def chances(
    model: Probabilities,
    found: Found,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    intents: NDArray[np.float32],
    query: str,
) -> NDArray[np.float64]:
    """Return the probabilities of each candidate in blended order, ``[candidates, actions]``.

    Args:
        model: of the bundle.
        found: the candidates of one request.
        items: ``[candidates]``, the same ones in the order of their scores.
        scores: ``[candidates]``, falling.
        intents: ``[3]``.
        query: search terms.
    """
    kept = len(items)
    features = list_features(
        found.items[:, :kept],
        items[None],
        scores[None],
        found.ranks[:, :kept],
        found.source_scores[:, :kept],
        intents[None],
        np.array([bool(query.strip())]),
    )
    return model.of(features[0], bool(query.strip()))


def by_value(
    contents: Contents,
    settings: Mapping[str, Any],
    found: Found,
    items: NDArray[np.int32],
    scores: NDArray[np.float32],
    told: NDArray[np.float64],
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return a list in the order of expected values, where the bundle asks for one; else as it is.

    Args:
        contents: of the bundle.
        settings: of its manifest.
        found: the candidates.
        items: ``[candidates]``, in the order of their scores.
        scores: ``[candidates]``.
        told: ``[candidates, actions]``, in blended order.
    """
    value, model = settings.get("value", ""), contents.probabilities
    if not value or model is None or not len(items):
        return items, scores
    place = {item: at for at, item in enumerate(found.items[0].tolist())}
    rows = told[[place[item] for item in items.tolist()]]
    values = expected_value(value, rows[None], model, contents.worth[items][None])
    one, other = order_by_value(items[None], scores[None], values, int(settings["value_depth"]))
    return one[0], other[0]
