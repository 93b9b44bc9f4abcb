"""What user vectors tell of the features that were declared sensitive, although no model was told them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq

from commerce.probe import probe_features
from commerce.records import Requests
from pipeline.asked import WINDOW
from pipeline.resampling import resampling
from pipeline.stage import Work


def probe_vectors(work: Work, requests: Requests) -> list[dict[str, Any]]:
    """Return how well each value of each sensitive feature can be read from users' last vectors.

    Args:
        work: of ``evaluate``.
        requests: all of the test window, whose vectors ``embed`` wrote.
    """
    path = work.run.stage("ingest") / "users.parquet"
    names = [name for name in work.config.data.sensitive if name in pq.read_schema(path).names]
    if not names:
        return []
    vectors = np.load(work.run.stage("embed") / f"users_{WINDOW}.npy", mmap_mode="r")
    users, last = np.unique(requests.user[::-1], return_index=True)
    rows = len(requests) - 1 - last
    table = pq.read_table(path, columns=["user", *names]).sort_by("user")
    features = {name: [table[name][int(user)].as_py() for user in users] for name in names}
    found = probe_features(
        np.asarray(vectors[rows]),
        features,
        **resampling(work.config),
    )
    return [one.as_dict() for one in found]
