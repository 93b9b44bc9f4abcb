"""Write lessons: the teacher's scores of its retriever's lists, at moments that the towers are trained on.

All moments lie in the towers' own window, before the first event that the ranker, validation or test windows ask about;
of those windows the teacher carries no more into the towers than its weights, which were learned in the ranker's window
and fused on the ``fit`` users of validation, who stop the towers' training too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import ACTION_CODES, NO_INTENT, NO_QUERY
from commerce.durable import put_in_place
from commerce.histories import Histories
from commerce.intent_moments import IntentMoments
from commerce.splits import ends_before
from pipeline.intents import as_requests, out_of_fold_intents
from pipeline.teacher import Teacher
from pipeline.tower_inputs import Prepared
from towers.embed import embed_users
from towers.lessons import Lessons
from towers.module import TwoTower
from towers.targets import Targets
from towers.validation import AskedBatches

_BLOCK = 4096
"""Lists that are described and scored at once; bounds memory, changes nothing."""


def write_lessons(
    teacher: Teacher, prepared: Prepared, module: TwoTower, targets: Targets, most: int, seed: int, file: Path
) -> str:
    """Write lessons as the record ``LESSONS``, and return what to say of them.

    Args:
        teacher: whose gate is open.
        prepared: where histories are.
        module: the teacher's towers, with their catalogue attached.
        targets: that training draws.
        most: lists, at most.
        seed: of the draw, where there are more.
        file: written whole or not at all.
    """
    rolling = teacher.config.prepare.requests == "rolling"
    position, moments = lesson_moments(prepared.histories, targets, most, seed, rolling=rolling)
    items = np.load(teacher.run.stage("embed") / "item_vectors.npy", mmap_mode="r")
    requests = as_requests(moments)
    batches = AskedBatches(requests, prepared.histories, module.settings["history_length"])
    vectors, _ = embed_users(module, items, batches)
    intents = out_of_fold_intents(module, items, prepared, moments, seed)
    parts = []
    for start in range(0, len(moments), _BLOCK):
        block = slice(start, start + _BLOCK)
        asked = as_requests(moments.rows(np.arange(len(moments))[block]))
        lists = teacher.lists(asked, vectors[block])
        parts.append((lists.items, teacher.scores(asked, lists, vectors[block], intents[block])))
    listed, scores = (np.concatenate(part) for part in zip(*parts, strict=True))
    orders = (listed >= 0).sum(axis=1) > 1  # one item alone is in no order
    lessons = Lessons(position[orders], listed[orders], scores[orders])
    temporary = file.with_name(f".{file.name}.tmp")
    lessons.write(temporary)
    put_in_place(temporary, file)
    return f"{len(lessons):,} lists of up to {listed.shape[1]} items scored by the reranker of {teacher.run.root}"


def lesson_moments(
    histories: Histories, targets: Targets, most: int, seed: int, *, rolling: bool
) -> tuple[NDArray[np.int64], IntentMoments]:
    """Return the moments just before targets at which a list would be asked for, as the reranker knows such requests.

    Of several targets at one time there is one moment. Where the last thing that a user did was a search, it is what
    is asked for; the history then ends before it, as in a request. Users without any history have no moment.

    Args:
        histories: of all users.
        targets: that training draws.
        most: moments; above this many they are drawn evenly.
        seed: of the draw.
        rolling: whether lists are asked for at searches and session starts alone (``prepare.requests``).

    Returns: absolute positions of the first target after each moment, ascending, and the moments, without labels.
    """
    first = np.unique(targets.group_start)
    user, position, time = targets.user[first], targets.position[first], targets.time[first]
    end = ends_before(histories, user, time)
    some = end > histories.offsets[user]
    user, position, time, end = user[some], position[some], time[some], end[some]
    last = end - 1
    searched = histories.action[last] == ACTION_CODES["search"]
    query = np.where(searched, histories.query[last], NO_QUERY).astype(np.int32)
    time = np.where(searched, histories.time[last], time)
    end = np.where(searched, ends_before(histories, user, time), end)
    asked = np.flatnonzero(searched | (histories.session[position] != histories.session[last]) | (not rolling))
    if len(asked) > most:
        asked = np.sort(np.random.default_rng([seed, 6]).choice(asked, most, replace=False))
    label = np.full(len(asked), NO_INTENT, dtype=np.int8)
    return position[asked], IntentMoments(user[asked], end[asked], time[asked], query[asked], label)
