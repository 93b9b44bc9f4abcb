"""Two promotions at once, and promotions killed at any moment: one champion, and a history that agrees."""

import multiprocessing
import random
import signal
import time

import pytest

from pipeline.registry.champion import Champion
from tests.pipeline.registry.versions import MODEL, count_under_lease, promote, promote_until

SPAWN = multiprocessing.get_context("forkserver")


@pytest.fixture(autouse=True, scope="module")
def _preloaded():
    # The server imports MLflow once; the processes that it forks have it.
    SPAWN.set_forkserver_preload(["tests.pipeline.registry.versions"])


def _start(function, *arguments):
    process = SPAWN.Process(target=function, args=arguments)
    process.start()
    return process


def test_two_promotions_at_once_leave_one_champion_and_a_history_that_agrees(uri):
    Champion(uri, MODEL).promote("1")
    opened, ready = [SPAWN.Event(), SPAWN.Event()], SPAWN.Event()
    both = [_start(promote, uri, version, there, ready) for version, there in zip(("2", "3"), opened, strict=True)]
    for there in opened:
        there.wait()
    ready.set()
    for process in both:
        process.join()
    # Whoever came second was judged against the first: 2 is worse than 3, so 3 is champion in either order.
    history = Champion(uri, MODEL).history()
    assert history.agrees
    assert history.alias == "3"
    assert [change.number for change in history.changes] == [1, 2, 3]


def test_a_promotion_killed_before_any_of_its_writes_leaves_the_former_champion(uri):
    Champion(uri, MODEL).promote("1")
    for call in range(1, 50):
        process = _start(promote_until, uri, call)
        process.join()
        history = Champion(uri, MODEL).history()
        assert history.agrees
        assert len(history.reigns) == (1 if process.exitcode else 2)
        if not process.exitcode:
            break
        assert process.exitcode == -signal.SIGKILL
        assert history.alias == "1"
    assert call > 5
    assert history.alias == "3"
    assert [change.status for change in history.changes if change.number > 1][-1] == "FINISHED"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_promotions_killed_at_fifty_random_moments(uri):
    champion, draw, ready = Champion(uri, MODEL), random.Random(0), SPAWN.Event()
    ready.set()
    champion.promote("1")
    process = _promoting(uri, "2", ready)
    began = time.monotonic()
    process.join()
    took, killed, took_effect = time.monotonic() - began, 0, 0
    for _ in range(50):
        before = champion.history().alias
        after = "1" if before == "2" else "2"  # as good as each other
        process = _promoting(uri, after, ready)
        process.join(draw.uniform(0, took))
        killed += process.is_alive()
        process.kill()
        process.join()
        history = champion.history()
        assert history.agrees
        assert history.alias in (before, after)
        took_effect += history.alias == after
    assert killed > 10
    assert len(history.reigns) == 2 + took_effect


def _promoting(uri, version, ready):
    """Start a process and wait until it has opened the registry, so that what is killed is the promotion itself."""
    opened = SPAWN.Event()
    process = _start(promote, uri, version, opened, ready)
    opened.wait()
    return process


def test_turns_on_a_server_are_taken_by_one_at_a_time(uri, tmp_path):
    file = tmp_path / "count"
    file.write_text("0")
    both = [_start(count_under_lease, uri, file, 4) for _ in range(2)]
    for process in both:
        process.join()
    assert file.read_text() == "8"
