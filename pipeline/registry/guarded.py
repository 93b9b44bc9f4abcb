"""What a run's version is guarded by, measured: the segments and measures that its config names."""

from __future__ import annotations

from commerce.segments import segment_names
from configs.errors import InputError
from pipeline.asked import Evaluated
from pipeline.registry.evidence import Evidence, gather
from pipeline.segments import run_segments
from pipeline.stage import Work
from pipeline.user_hashes import user_key


def guarded_evidence(work: Work) -> Evidence:
    """Measure the shipped order request by request, for the gate that compares versions.

    Segments by sensitive features are left out unless they are guarded: nothing else needs them there.

    Raises:
        InputError: if a guarded segment cannot be one of this shop's.
    """
    config, run = work.config, Evaluated.open(work.run.root)
    segments = run_segments(run)
    guarded = list(config.tracking.guarded_segments)
    features = [f"{name} = " for name in config.evaluate.segments]
    unknown = [name for name in guarded if name not in segment_names() and not name.startswith(tuple(features))]
    if unknown:
        raise InputError(
            f"tracking.guarded_segments names {unknown[0]!r}, which no request can be in; segments are "
            f"{', '.join([*segment_names(), *(f'{name}VALUE' for name in features)])}"
        )
    hidden = tuple(f"user:{name} = " for name in config.data.sensitive)
    kept = [one for one in segments if one.name in guarded or not one.name.startswith(hidden)]
    key, _ = user_key(config.export.hash_key_variable, work.run.root)
    guard = {
        "metrics": list(config.tracking.guard_metrics),
        "segments": guarded,
        "margin": config.tracking.guard_margin,
        "segment_margin": config.tracking.guard_segment_margin,
    }
    return gather(run, kept, key, guard)
