"""``mercato parts``: what does each part add? The same config without it, over several seeds, paired by request.

Every part that is left out is a run of its own in a folder below the config's, for each seed. Stages that leaving it
out does not touch are taken over. A seed draws weights, batches and halves anew while the test window stays, so the
requests of all seeds are measured together and whole users are resampled: a difference that is called real is larger
than the luck of users met, and as large as it is on average over seeds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from commerce.columns import NO_INTENT
from commerce.differences import Difference, corrected
from commerce.durable import write_atomic
from commerce.records import Requests
from commerce.significance import enough_draws
from configs.errors import InputError
from configs.reads import RANKER_READS, TOWER_READS
from configs.schema import Config
from learning.hardware import machine
from pipeline.asked import WINDOW
from pipeline.part_differences import INTENTS, Measured, Sampling, differences, measures
from pipeline.report.parts import render_parts
from pipeline.run_folder import RunFolder
from pipeline.run_stages import run_stages
from pipeline.segments import run_segments
from pipeline.stage import NAMES
from pipeline.tables import cut_off
from pipeline.takeover import take_over

FORMAT = 1
"""Version of ``parts.json``."""
FOLDER, FILE, PAGE = "parts", "parts.json", "parts.html"
EVERYTHING = "everything"
SEARCH_TERMS = 10
"""Search terms that join product texts where the config says none: a part that is not there adds nothing."""
_STAGES = NAMES[: NAMES.index("evaluate") + 1]
_TERMS = (
    *("dataset", "split", "targets", "window", "filter_seen", "repeats"),
    *("requests", "users", "items", "seed", "intervals"),
)


@dataclass(frozen=True)
class Part:
    """Something that can be left out, and the system that shows what it adds."""

    question: str
    """What is asked, ``user vector`` say; answers to one question stand together."""
    name: str
    """What is left, or left out: ``from behaviour alone``."""
    system: str
    """``towers``, ``mercato`` or ``intents``."""
    changes: Mapping[str, Any]
    """Settings of the run without it."""
    needs: tuple[str, ...] = ()
    """Of ``queries``, ``profiles``, ``intents`` and ``associations``: what the shop must have for the question to make
    sense."""


def _without(reads: Sequence[str], *names: str) -> list[str]:
    return [word for word in reads if word not in names]


PARTS = (
    Part(
        "user vector",
        "from behaviour alone",
        "towers",
        {"towers.reads": _without(TOWER_READS, "searches")},
        ("queries",),
    ),
    Part(
        "user vector",
        "from searches alone",
        "towers",
        {"towers.reads": _without(TOWER_READS, "behaviour")},
        ("queries",),
    ),
    Part("user vector", "without profile", "towers", {"towers.reads": _without(TOWER_READS, "profile")}, ("profiles",)),
    Part(
        "intent",
        "without profile",
        INTENTS,
        {"towers.reads": _without(TOWER_READS, "profile")},
        ("profiles", "intents"),
    ),
    Part("item text", "from description alone", "towers", {"text.search_terms": 0}, ("queries",)),
    Part(
        "item text",
        "from search terms alone",
        "towers",
        # Items without terms have no text: many alike, which an encoder is not to be refused for.
        {"data.item_text": [], "text.refuse_share": 1.0, "text.warn_share": 1.0},
        ("queries",),
    ),
    Part(
        "shipped order",
        "without profile",
        "mercato",
        {"towers.reads": _without(TOWER_READS, "profile"), "ranking.reads": _without(RANKER_READS, "profile")},
        ("profiles",),
    ),
    Part(
        "shipped order",
        "without intent",
        "mercato",
        {"ranking.reads": _without(RANKER_READS, "intent")},
        ("intents",),
    ),
    Part(
        "shipped order",
        "without associations",
        "mercato",
        {"ranking.reads": _without(RANKER_READS, "associations"), "retrieval.sources": "associations"},
        ("associations",),
    ),
)
"""What is asked of every shop that has what it takes."""


def parse_seeds(text: str) -> list[int]:
    """Return the seeds named in ``0,1,2``.

    Raises:
        InputError: if one is no whole number from 0 on, or is named twice.
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(parts)) < len(parts):
        raise InputError(
            f"--seeds {text} is not understood; distinct whole numbers from 0 on are expected, parted by commas: "
            "--seeds 0,1,2"
        )
    return [int(part) for part in parts]


def parts(config: Config, seeds: Sequence[int], say: Callable[[str], None]) -> dict[str, Any]:
    """Run the config without each part, and with all, for every seed; write the file and the page.

    What the config's own run, or an earlier call, has finished is not run again.

    Args:
        config: of the whole run.
        seeds: each a run of its own.
        say: takes lines for a person.

    Returns: what ``parts.json`` holds.
    """
    home = RunFolder(Path(config.run.folder))
    whole = {seed: _whole(config, seed) for seed in seeds}
    asked, left_out = _askable(whole[seeds[0]], home, say)
    runs: dict[str, list[Measured]] = {EVERYTHING: [_run(whole[seed], [home], say) for seed in seeds]}
    for part in asked:
        runs[_folder_name(part)] = [
            _run(_changed(whole[seed], part), [RunFolder(Path(whole[seed].run.folder)), home], say) for seed in seeds
        ]
    found = _as_json(config, seeds, asked, left_out, runs)
    write_atomic(home.root / FILE, json.dumps(found, indent=1, ensure_ascii=False))
    write_atomic(home.root / PAGE, render_parts(found))
    return found


def _whole(config: Config, seed: int) -> Config:
    """Return the config of the run that leaves nothing out; baselines are not what is asked for."""
    return replace(
        config,
        run=replace(config.run, seed=seed, folder=str(_place(config, seed) / EVERYTHING)),
        text=replace(config.text, search_terms=config.text.search_terms or SEARCH_TERMS),
        evaluate=replace(config.evaluate, baselines=[], source_requests=0),
    )


def _place(config: Config, seed: int) -> Path:
    return Path(config.run.folder) / FOLDER / f"seed-{seed}"


def _askable(whole: Config, home: RunFolder, say: Callable[[str], None]) -> tuple[list[Part], list[str]]:
    """Return the parts that this shop has, and a sentence for each question that it cannot be asked."""
    has = _has(_prepare(whole, home, say), whole)
    asked = [part for part in PARTS if all(has[need] for need in part.needs)]
    left_out = [
        f"{part.question} {part.name}: there are no {', '.join(need for need in part.needs if not has[need])}"
        for part in PARTS
        if part not in asked
    ]
    for line in left_out:
        say(f"not asked: {line}")
    return asked, left_out


def _has(run: RunFolder, whole: Config) -> dict[str, bool]:
    """Return which of the things that parts need this shop has."""
    prepared = run.stage("prepare")
    vocabulary = json.loads((prepared / "vocabulary.json").read_text(encoding="utf-8"))["users"]
    intents = Requests.read(prepared / "requests.parquet").of(WINDOW).intent
    return {
        "queries": pq.read_metadata(prepared / "queries.parquet").num_rows > 0,
        "profiles": any(vocabulary.values()),
        "intents": bool((intents != NO_INTENT).any()),
        "associations": "associations" in whole.retrieval.sources,
    }


def _prepare(whole: Config, home: RunFolder, say: Callable[[str], None]) -> RunFolder:
    run = RunFolder(Path(whole.run.folder))
    run.root.mkdir(parents=True, exist_ok=True)
    take_over(whole, run, home)
    run_stages(whole, ("ingest", "prepare"), say)
    return run


def _changed(whole: Config, part: Part) -> Config:
    """Return the config without a part; where it shows in the towers alone, no reranker is trained."""
    folder = Path(whole.run.folder).parent / _folder_name(part)
    changed = replace(whole, run=replace(whole.run, folder=str(folder)))
    for name, value in part.changes.items():
        section, key = name.split(".")
        if name == "retrieval.sources":
            value = [source for source in whole.retrieval.sources if source != value]
        changed = replace(changed, **{section: replace(getattr(changed, section), **{key: value})})
    if part.system != "mercato":
        changed = replace(changed, ranking=replace(changed.ranking, enabled=False))
    return changed


def _folder_name(part: Part) -> str:
    # Two questions about one change to the towers are answered by one run.
    alike = next(other for other in PARTS if (other.changes, other.system == "mercato") == _identity(part))
    return f"{alike.question} {alike.name}".replace(" ", "-")


def _identity(part: Part) -> tuple[Mapping[str, Any], bool]:
    return part.changes, part.system == "mercato"


def _run(config: Config, donors: Sequence[RunFolder], say: Callable[[str], None]) -> Measured:
    run = RunFolder(Path(config.run.folder))
    run.root.mkdir(parents=True, exist_ok=True)
    say(f"--- {run.root}")
    taken = [name for donor in donors for name in take_over(config, run, donor)]
    if taken:
        say(f"taken over: {', '.join(taken)}")
    run_stages(config, _STAGES, say)
    return Measured.open(run)


def _as_json(
    config: Config,
    seeds: Sequence[int],
    asked: Sequence[Part],
    left_out: Sequence[str],
    runs: Mapping[str, Sequence[Measured]],
) -> dict[str, Any]:
    whole = runs[EVERYTHING]
    metrics, confidence = whole[0].run.metrics, config.evaluate.confidence
    k, most = cut_off(metrics), 1 + len(run_segments(whole[0].run))
    draws = enough_draws(most * sum(len(measures(part.system, k)) for part in asked), confidence)
    sampling = Sampling(config.evaluate.bootstrap, draws, confidence, config.run.seed)
    found = [
        (part, one) for part in asked for one in differences(runs[_folder_name(part)], whole, part.system, k, sampling)
    ]
    family = corrected([one for _, one in found])
    return {
        "format": FORMAT,
        **{name: metrics[name] for name in _TERMS},
        "k": k,
        "seeds": list(seeds),
        "hardware": machine(),
        "reranked": [measured.reranked for measured in whole],
        "left_out": list(left_out),
        "rows": [_row(part, one, confidence) for (part, _), one in zip(found, family, strict=True)],
    }


def _row(part: Part, found: Difference, confidence: float) -> dict[str, Any]:
    """Say what everything has more than what is left without the part."""
    return {
        "question": part.question,
        "part": part.name,
        "system": part.system,
        "segment": found.part,
        "metric": found.metric,
        "requests": found.requests,
        "users": found.users,
        "without": round(found.first, 6),
        "with": round(found.second, 6),
        "difference": {name: round(number, 6) for name, number in found.interval.as_dict().items()},
        "p_holm": found.p_value,
        "verdict": found.verdict(confidence),
    }
