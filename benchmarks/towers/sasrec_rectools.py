"""RecTools' SASRec, an epoch at a time, for ``time_to_quality.py``; runs in the peer's environment.

    python sasrec_rectools.py FOLDER VALUE CAP_MINUTES NEGATIVES

Prints a line of JSON after each epoch: seconds of training so far, and NDCG@10 on each user's last event.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

_SEED = 0


def main() -> None:
    folder, value, cap, negatives = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    rows = []
    last = {}
    for line in (folder / "sequences.txt").read_text().splitlines():
        user, *bought = line.split()
        rows += [(user, item, place, len(bought) - 1 - place) for place, item in enumerate(bought)]
        last[user] = bought[-1]
    events = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "place", "left"])
    events[Columns.Weight] = 1.0
    events[Columns.Datetime] = pd.Timestamp("1970-01-01") + pd.to_timedelta(events["place"], unit="D")
    columns = [Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]
    known = Dataset.construct(events.loc[events["left"] >= 2, columns])
    visible = events.loc[(events["left"] >= 1) & events[Columns.Item].isin(known.item_id_map.external_ids), columns]
    asked = Dataset.construct(visible)

    from pytorch_lightning import seed_everything

    seed_everything(_SEED)
    sampled = {"loss": "sampled_softmax", "n_negatives": negatives} if negatives else {}
    model = SASRecModel(verbose=0, **sampled)
    users, seconds = np.array(sorted(last)), 0.0
    while seconds < cap * 60:
        started = time.perf_counter()
        model.fit_partial(known, min_epochs=1, max_epochs=1)
        seconds += time.perf_counter() - started
        listed = model.recommend(users=users, dataset=asked, k=10, filter_viewed=True)
        hit = listed[listed[Columns.Item] == listed[Columns.User].map(last)]
        ndcg = float((1.0 / np.log2(1.0 + hit[Columns.Rank].to_numpy())).sum() / len(users))
        print(json.dumps({"seconds": seconds, "ndcg": ndcg}), flush=True)
        if ndcg >= value:
            break


if __name__ == "__main__":
    main()
