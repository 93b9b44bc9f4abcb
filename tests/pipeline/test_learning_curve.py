"""The learning curve of a tiny bazaar: its points, what is taken over, what follows, and bad input."""

import json

import pytest

from configs.errors import InputError
from pipeline.api import Run
from pipeline.learning_curve import learning_curve, parse_fractions
from pipeline.report.learning_curve import curve_lines, findings


@pytest.fixture(scope="module")
def curve(tiny_run, tiny_overrides, tmp_path_factory):
    """Return (what the file holds, what was said, the config's run), of 30% and all of the users."""
    whole, _ = tiny_run
    said: list[str] = []
    return learning_curve(whole.config, [0.3, 1.0], said.append), said, whole


def test_the_whole_share_is_the_run_itself_and_nothing_of_it_is_trained_again(curve):
    found, said, whole = curve
    point = found["points"][1]
    assert point["share"] == 1.0
    for system in ("towers", "item_knn", "popularity"):
        assert point["systems"][system]["ndcg@10"] == whole.metrics()["systems"][system]["ndcg@10"]
    taken = [line for line in said if line.startswith("taken over")]
    assert taken[0].endswith(": ingest")  # another share is another training
    assert taken[1].endswith(": ingest, prepare, adapt, train-towers, embed, index, retrieve")
    assert sum(line.startswith("train-towers: done") for line in said) == 1


def test_a_share_learns_from_fewer_users_and_answers_the_same_requests(curve):
    found, _, whole = curve
    less, more = found["points"]
    assert 0.2 * more["users"] < less["users"] < 0.4 * more["users"]
    assert less["events"] < 0.5 * more["events"]
    assert found["requests"] == whole.metrics()["requests"]
    assert less["systems"]["item_knn"] != more["systems"]["item_knn"]


def test_its_differences_are_those_between_the_points(curve):
    found, _, whole = curve
    less, more = (point["systems"]["towers"]["ndcg@10"]["value"] for point in found["points"])
    (step,) = found["growth"]
    assert (step["from"], step["to"]) == (0.3, 1.0)
    assert step["ndcg@10"]["value"] == pytest.approx(more - less, abs=2e-6)
    for point in found["points"]:
        own, other = (point["systems"][system]["recall@10"]["value"] for system in ("towers", "item_knn"))
        assert point["towers - item_knn"]["recall@10"]["value"] == pytest.approx(own - other, abs=2e-6)
    assert json.loads((whole.folder / "learning-curve.json").read_text()) == json.loads(json.dumps(found))


def test_a_second_call_trains_nothing(curve):
    found, _, whole = curve
    again: list[str] = []
    assert learning_curve(whole.config, [0.3, 1.0], again.append) == found
    assert not [line for line in again if ": done" in line]


def test_the_page_needs_nothing_from_elsewhere(curve):
    _, _, whole = curve
    page = (whole.folder / "learning-curve.html").read_text()
    assert 'id="curve-ndcg-data"' in page
    assert "http" not in page.partition("<script>")[0].replace("http-equiv", "")


def test_lines_name_the_point_from_which_the_towers_are_better(curve):
    found, _, _ = curve
    assert "towers - item_knn" in "\n".join(curve_lines(found))

    def with_verdicts(*verdicts, last):
        changed = json.loads(json.dumps(found))
        for point, verdict in zip(changed["points"], verdicts, strict=True):
            point["towers - item_knn"]["ndcg@10"]["verdict"] = verdict
        changed["growth"][-1]["ndcg@10"]["verdict"] = last
        return findings(changed)

    users = [f"{point['users']:,}" for point in found["points"]]
    first, second = with_verdicts("no difference seen", "better", last="better")
    assert f"from {users[1]} users on" in first
    assert "more users would likely help" in second
    first, second = with_verdicts("better", "worse", last="no difference seen")
    assert f"do not beat item-kNN by NDCG@10 with the {users[1]} users there are" in first
    assert "more may not help" in second


@pytest.mark.parametrize("text", ["", "1", "0,1", ".5,1.5", "half,1", "1,1", "nan,1"])
def test_fractions_that_are_none_are_refused(text):
    with pytest.raises(InputError, match=r"at least two shares of the users are expected"):
        parse_fractions(text)


def test_fractions_are_sorted():
    assert parse_fractions("1, .05,.2") == [0.05, 0.2, 1.0]


def test_too_few_users_are_refused_before_any_training(tiny_run, tiny_overrides, tmp_path):
    run = Run("configs/bazaar.yaml", *tiny_overrides(tmp_path))
    with pytest.raises(InputError, match=r"0.05 of 345 users is about 17 of them.* at least 0\.15"):
        learning_curve(run.config, [0.05, 1.0], lambda line: None)
    assert not (tmp_path / "run" / "learning-curve").exists()


def test_a_curve_without_item_knn_is_refused(tiny_overrides, tmp_path):
    run = Run("configs/bazaar.yaml", *tiny_overrides(tmp_path), "evaluate.baselines=[popularity]")
    with pytest.raises(InputError, match=r"evaluate\.baselines leaves out item_knn"):
        learning_curve(run.config, [0.3, 1.0], lambda line: None)
