import numpy as np
import pytest

from commerce.columns import ACTION_CODES
from commerce.records import Requests
from pipeline.exposures import RETRIEVED_DEPTH, _Events, _Shown, _shown, read_exposures
from pipeline.probabilities import fit_probabilities, probability_requests, read_probabilities

VIEW, CART = (ACTION_CODES[name] for name in ("view", "cart"))


def requests_at(session, time, query):
    count = len(session)
    return Requests(
        request_id=np.arange(count) + 10,
        window=np.full(count, "validation"),
        half=np.full(count, "fit"),
        user=np.array(session, dtype=np.int32),
        time=np.array(time, dtype=np.int64),
        history_end=np.zeros(count, dtype=np.int64),
        query=np.array(query, dtype=np.int32),
        session=np.array(session, dtype=np.int64),
        intent=np.full(count, -1, dtype=np.int8),
        offsets=np.arange(count + 1),
        items=np.zeros(count, dtype=np.int32),
        gains=np.ones(count, dtype=np.float32),
    )


def test_a_shown_item_belongs_to_the_request_that_asked_for_its_list():
    # Session 1 starts at 100 and searches at 200; session 2, which nothing followed, has no request.
    kept = requests_at([1, 1], [100, 200], [-1, 5])
    candidates = np.array([[7, 8, -1], [9, 7, 3]], dtype=np.int32)
    shown = _Shown(
        session=np.array([1, 1, 1, 1, 2]),
        item=np.array([7, 4, 7, 9, 7]),
        time=np.array([100, 100, 200, 201, 301]),
        position=np.array([0, 1, 0, 1, 3]),
        moment_session=np.array([1, 1, 2]),
        moment_time=np.array([100, 200, 300]),
        moment_query=np.array([False, True, False]),
    )
    events = _Events(np.array([1, 1]), np.array([7, 7]), np.array([210, 220]), np.array([VIEW, CART]))
    found = _shown(shown, events, ("view", "cart"), kept, kept, candidates)
    assert found.given == "shown"
    assert found.row.tolist() == [0, 1, 1]
    assert found.column.tolist() == [0, 1, 0]
    assert found.position.tolist() == [0, 0, 1]
    assert found.happened.tolist() == [[False, False], [True, True], [False, False]]
    assert found.outside == 1, "item 4 was shown but no candidate"
    assert found.lists.tolist() == [3, 2]
    assert found.kept.tolist() == pytest.approx([2 / 3, 1.0])
    assert found.missed.tolist() == [[0.0, 0.0], [0.0, 0.0]]


@pytest.fixture(scope="module")
def ranked(tiny_run):
    """The tiny bazaar's run folder, config, and the requests that its probabilities are about."""
    from pipeline.run_folder import RunFolder

    run, _ = tiny_run
    folder = RunFolder(run.folder)
    return folder, run.config, probability_requests(folder, run.config)


def test_the_bazaars_log_tells_what_was_shown(ranked):
    fitted = read_probabilities(ranked[0].stage("rank"))
    assert fitted["given"] == fitted["judged"]["given"] == "shown"
    assert fitted["actions"][0] == "view"
    places = np.array(fitted["positions"][0])
    assert places[:3].mean() > places[5:8].mean(), "upper places are looked at more"
    assert all(share > 0.95 for share in fitted["kept"]), "nearly every list of the bazaar is clicked on"


def test_without_impressions_probabilities_suppose_no_more_than_retrieval(ranked, tmp_path, monkeypatch):
    run, config, requests = ranked
    monkeypatch.setattr("pipeline.exposures._impressions", lambda *given: None)
    candidates = np.tile(np.arange(60, dtype=np.int32), (len(requests), 1))
    found = read_exposures(run, config, requests, candidates, tmp_path)
    assert found.given == "retrieved"
    assert len(found.row) == len(requests) * RETRIEVED_DEPTH
    assert (found.position == -1).all()
    # Whatever was bought after a request was relevant to it.
    bought = found.happened[:, found.actions.index("purchase")]
    relevant = {
        (row, int(item))
        for row in range(len(requests))
        for item in requests.items[requests.offsets[row] : requests.offsets[row + 1]]
    }
    assert {
        (int(row), int(candidates[row, column]))
        for row, column in zip(found.row[bought], found.column[bought], strict=True)
    } <= relevant
    assert bought.any()


def test_too_few_exposures_fit_nothing_and_say_so(ranked, tmp_path, monkeypatch):
    from pipeline.probabilities import Described
    from pipeline.stage import Work
    from ranking.lists import read_lists

    run, config, requests = ranked
    few = requests.where(np.arange(len(requests)) < 3)
    path = run.stage("retrieve") / "validation.parquet"
    lists = read_lists(path, few.request_id, config.retrieval.sources, config.retrieval.candidates)
    described = Described(few, lists, (lists.items, lists.scores), np.full((len(few), 3), 1 / 3, np.float32))
    model, said = fit_probabilities(Work(config, run, tmp_path, "rank", "k"), described)
    assert model is None
    assert said == ["probabilities: none; too little followed what was shown or retrieved in the validation window"]
    assert not list(tmp_path.glob("*.json"))
