"""Budgets on a clock that only the steps move, so that every figure is known beforehand."""

import numpy as np
import pytest
from click.testing import CliRunner

from configs.errors import InputError
from retrieval.filters import Allowed
from retrieval.sources import Ask
from serving.commands import recommend
from serving.in_time import SLICE, ask_in_time
from serving.pace import RERANK, USER, Costs, Pace, source_step
from serving.requests import Request
from serving.runtime import Runtime

MS = 1e-3
COSTS = {"vectors": 4, "associations": 2, "tastes": 2, "repeats": 1, "popularity": 1, "lexical": 3}
"""Milliseconds of each source; together 13."""
PLACING, READING = 5, 2
"""Milliseconds of the user tower, and of the reranker a candidate."""
WHOLE = PLACING + sum(COSTS.values()) + 8 * READING


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def pass_(self, milliseconds):
        self.now += milliseconds * MS


class SlowModels:
    """A bundle's graphs, that take as long as they are told."""

    def __init__(self, models, clock):
        self.models, self.clock = models, clock

    def encode(self, texts):
        return self.models.encode(texts)

    def users(self, inputs):
        self.clock.pass_(PLACING)
        return self.models.users(inputs)

    def score(self, context, items, features, intent):
        self.clock.pass_(READING * len(items))
        return self.models.score(context, items, features, intent)


def slow(source, clock, milliseconds):
    def answer(ask, k, allowed):
        clock.pass_(milliseconds)
        return source(ask, k, allowed)

    return answer


@pytest.fixture
def runtime(exported):
    """A runtime whose steps take known times, all of them measured."""
    clock = Clock()
    bundle = exported[0].folder / "bundle"
    slowly = SlowModels(Runtime(bundle, check=False).models, clock)
    runtime = Runtime(bundle, check=False, models=slowly, clock=clock)
    sources = runtime.contents.sources
    runtime.contents.__dict__["sources"] = {name: slow(one, clock, COSTS[name]) for name, one in sources.items()}
    runtime.warm_up()
    runtime.clock = clock
    return runtime


def asked(runtime, budget_ms=None):
    """Return an answer and the milliseconds that it took."""
    started = runtime.clock()
    answer = runtime.recommend("u000003", k=10, budget_ms=budget_ms)
    return answer, round((runtime.clock() - started) / MS, 6)


def test_enough_time_changes_nothing(runtime):
    whole, taken = asked(runtime)
    assert taken == WHOLE
    in_time, _ = asked(runtime, budget_ms=WHOLE + 1)
    assert in_time == whole
    assert in_time.cut_short == ""
    assert in_time.reranked == 8


@pytest.mark.parametrize(
    ("budget", "where", "taken"),
    [
        (WHOLE - 1, "rerank, after 5 of 8", WHOLE - 3 * READING),  # another slice would be ten more
        (PLACING + 13 + 10, "rerank, after 5 of 8", PLACING + 13 + 10),
        (PLACING + 13 + 9, "rerank, after 0 of 8", PLACING + 13),
    ],
)
def test_the_reranker_reads_what_the_time_allows(runtime, budget, where, taken):
    answer, came = asked(runtime, budget)
    assert (answer.cut_short, came) == (where, taken)
    assert came <= budget
    assert answer.notes[-1] == f"the time of {budget} ms did not allow all: cut at {where}"
    assert len(answer.items) == 10


@pytest.mark.parametrize("budget", range(2, WHOLE + 2))
def test_an_answer_comes_within_its_budget_and_is_marked_where_something_is_missing(runtime, budget):
    whole, _ = asked(runtime)
    answer, came = asked(runtime, budget)
    assert came <= budget
    assert answer.items
    assert bool(answer.cut_short) == (answer.items != whole.items or answer.reranked < 8 or came < WHOLE)


def test_candidates_that_were_read_stand_first_in_the_rerankers_order(runtime):
    answer, _ = asked(runtime, WHOLE - 1)
    blended = runtime.trace(Request("u000003"), rerank=False)
    first = [runtime.item_id(int(item)) for item in blended.items[:SLICE]]
    assert {item.item_id for item in answer.items[:SLICE]} == set(first)
    assert [item.item_id for item in answer.items[SLICE:]] == [
        runtime.item_id(int(item)) for item in blended.items[SLICE:10]
    ]
    assert answer.reranked == SLICE


def test_read_in_slices_the_order_is_that_of_one_reading(runtime):
    request = Request("u000003")
    one = runtime._trace(request, runtime._pace(None))
    sliced = runtime._trace(request, runtime._pace(None, sliced=True))
    np.testing.assert_allclose(sliced.scores, one.scores, atol=1e-5)
    assert sliced.items.tolist() == one.items.tolist()


def test_sources_that_say_most_for_their_time_are_asked_first(runtime):
    answer, came = asked(runtime, PLACING + 6)
    assert answer.cut_short.startswith("sources, after ")
    assert PLACING < came <= PLACING + 6
    costs = {name: COSTS[name] for name in COSTS if source_step(name) in answer.seconds}
    assert sum(costs.values()) == came - PLACING
    # No source that was left out would have fitted.
    assert min(COSTS[name] for name in COSTS.keys() - costs.keys()) > PLACING + 6 - came
    found_by = {reason.source for item in answer.items for reason in item.reasons}
    assert found_by <= costs.keys()
    weights = runtime.contents.blends["keep_seen"].weights
    worth = {name: weights[name] / COSTS[name] for name in COSTS}
    assert max(worth, key=worth.get) in costs


def test_without_time_for_the_user_tower_something_is_found_all_the_same(runtime):
    answer, came = asked(runtime, budget_ms=2)
    assert answer.cut_short == USER
    assert answer.items
    assert answer.intents == {}
    assert answer.reranked == 0
    assert came < PLACING


def test_every_step_is_timed_without_those_inside_it(runtime):
    answer, _ = asked(runtime)
    seconds = {name: round(value / MS, 6) for name, value in answer.seconds.items()}
    assert seconds[USER] == PLACING
    assert seconds[RERANK] == 8 * READING
    assert {name: seconds[source_step(name)] for name in COSTS} == COSTS
    assert seconds["blend"] == seconds["state"] == seconds["fields"] == 0


def test_steps_inside_steps_count_once():
    clock = Clock()
    pace = Pace(Costs(), clock)
    with pace.step("outer"):
        clock.pass_(3)
        with pace.step("inner"):
            clock.pass_(5)
        clock.pass_(1)
    assert pace.seconds == {"inner": pytest.approx(5 * MS), "outer": pytest.approx(4 * MS)}


def test_a_cost_is_seldom_underrated_and_forgets_the_loading():
    costs = Costs()
    costs.note("a", 9.0)
    assert costs.of("a") == 9.0
    for seconds in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 1.0, 100.0):
        costs.note("a", seconds)
    assert costs.of("a") == 8.0  # nine of ten took no longer
    assert costs.of("a", "never taken") == 8.0
    for _ in range(40):
        costs.note("a", 1.0)
    assert costs.of("a") == 1.0


def test_a_budget_is_some_time_and_goes_along_as_json():
    with pytest.raises(InputError, match="budget_ms is 0, but some time is needed"):
        Request("u1", budget_ms=0)
    request = Request("u1", budget_ms=12.5)
    assert Request.from_json(request.as_json()) == request
    assert "budget_ms" not in Request("u1").as_json()


def test_the_command_prints_what_each_step_takes_and_where_it_was_cut(exported):
    bundle = str(exported[0].folder / "bundle")
    shown = CliRunner().invoke(recommend, [bundle, "--user", "u000003", "--query", "red tea", "--timings"])
    assert shown.exit_code == 0, shown.output
    table = shown.output.partition("Time of each step, ms")[2]
    for step in ("state", "search terms", "user and intent", "source vectors", "blend", "rerank", "fields", "in all"):
        assert step in table
    cut = CliRunner().invoke(recommend, [bundle, "--user", "u000003", "--budget-ms", "0.000001"])
    assert cut.exit_code == 0, cut.output
    assert "note: the time of 1e-06 ms did not allow all: cut at user and intent" in cut.output
    refused = CliRunner().invoke(recommend, [bundle, "--budget-ms", "-1"])
    assert isinstance(refused.exception, InputError)


def test_a_source_asked_deeper_when_the_time_is_over_answers_what_it_has():
    clock = Clock()

    def count_up(ask, k, allowed):
        clock.pass_(4)
        return np.arange(k, dtype=np.int32)[None], -np.arange(k, dtype=np.float32)[None]

    ask = Ask([None], np.ones((1, 2), np.float32), np.zeros(1, np.int64), [""])
    allowed = Allowed.everything(10, 1)
    for budget, deeper in ((9, [0, 1, 2, 3]), (7, [0, 1, -1, -1])):
        pace = Pace(Costs(), clock, budget)
        asked = ask_in_time({"one": count_up}, ask, 2, allowed, {"one": 1.0}, pace)["one"]
        assert asked(ask, 2, allowed)[0].tolist() == [[0, 1]]
        assert asked(ask, 4, allowed)[0].tolist() == [deeper]
        assert bool(pace.cut_short) == (-1 in deeper)
