"""The numbers that ranx and ir_measures (trec_eval) give; benchmarks/evaluation/agreement.py wrote theirs."""

import json
from pathlib import Path

import numpy as np
import pytest

from commerce.metrics import RANKED, UNCUT, Relevant, find

PEERS = json.loads((Path(__file__).parent / "peers.json").read_text())


@pytest.fixture(scope="module")
def found():
    requests = list(PEERS["judged"])
    depth = max(len(items) for items in PEERS["ranked"].values())
    ranked = np.full((len(requests), depth), -1, np.int32)
    for row, request in enumerate(requests):
        scores = PEERS["ranked"].get(request, {})  # some requests have no list
        best = sorted(scores, key=lambda item: -scores[item])
        ranked[row, : len(best)] = [int(item[1:]) for item in best]
    judged = [PEERS["judged"][request] for request in requests]
    items = np.array([int(item[1:]) for request in judged for item in request], np.int32)
    gains = np.array([gain for request in judged for gain in request.values()], np.float32)
    return find(ranked, Relevant(np.cumsum([0, *map(len, judged)]), items, gains))


@pytest.mark.parametrize("peer", PEERS["peers"])
@pytest.mark.parametrize("name", [*RANKED, *UNCUT])
def test_values_are_those_of_the_peer(found, peer, name):
    for k, value in PEERS["peers"][peer][name].items():
        ours = RANKED[name](found, int(k)) if k else UNCUT[name](found)
        assert ours.mean() == pytest.approx(value, abs=1e-6), k
