"""What session statistics are counted with, and the labelled moments, as files of ``prepare``."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from commerce.columns import MICROSECONDS
from commerce.session_statistics import LoggedSessions, SessionFacts, query_words
from serving.leaves import LEAF, NAMES

INTENT_MOMENTS = "intent_moments.npz"
"""Labelled session starts and searches of the towers' window: ``commerce.intent_moments.IntentMoments``."""
INTENT_RULES = "intent_rules.json"
"""How labels were made and how many there are, in the words in which ``prepare`` said it."""
_SESSIONS = "sessions.npz"


def write_sessions(
    folder: Path, leaf: NDArray[np.int32], price: NDArray[np.float32], queries: list[str], gap_minutes: float
) -> None:
    """Write them into ``prepare``'s folder.

    Args:
        folder: of ``prepare``.
        leaf: ``[items]``, code of the leaf category, -1 without one.
        price: ``[items]``, NaN where unknown.
        queries: texts by code.
        gap_minutes: ``prepare.session_gap_minutes``.
    """
    words = np.array([query_words(text) for text in queries], dtype=np.float32)
    pause = np.int64(gap_minutes * 60 * MICROSECONDS)
    np.savez(folder / _SESSIONS, leaf=leaf, price=price, words=words, pause=pause)


def read_sessions(folder: Path) -> LoggedSessions:
    """Read what ``write_sessions`` wrote."""
    with np.load(folder / _SESSIONS) as arrays:
        facts = SessionFacts(arrays["leaf"], arrays["price"], int(arrays["pause"]))
        return LoggedSessions(facts, arrays["words"])


def write_session_facts(prepared: Path, bundle: Path) -> int:
    """Write the leaf categories into a bundle, which holds prices already; return the pause in microseconds."""
    facts = read_sessions(prepared).facts
    np.save(bundle / LEAF, facts.leaf)
    shutil.copyfile(prepared / NAMES, bundle / NAMES)
    return facts.pause
