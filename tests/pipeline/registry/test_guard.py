import numpy as np
import pytest

from configs.errors import InputError
from pipeline.registry.evidence import read_evidence, write_evidence
from pipeline.registry.guard import judge
from tests.pipeline.registry.versions import USERS, evidence

NOISE = np.where(np.arange(USERS) % 2, 0.5, -0.5)
"""Half of the users gain as much as the others lose: no difference, but one hard to see."""


def test_equal_answers_are_not_worse_whatever_the_margin():
    gate = judge(evidence(0.5), evidence(0.5, guard={"margin": 0.0, "segment_margin": 0.0}))
    assert gate.passed
    assert [(one.segment, one.requests) for one in gate.judged] == [("all requests", 200), ("user: new", 50)]


def test_what_is_lower_by_less_than_the_margin_passes_and_by_more_is_worse():
    # A margin of .05 of .5 is .025; every user loses the same, so the interval is a point.
    assert judge(evidence(0.5), evidence(0.48)).passed
    gate = judge(evidence(0.5), evidence(0.47))
    assert not gate.passed
    assert gate.judged[0].verdict == "worse"
    assert gate.judged[0].margin == pytest.approx(0.025)


def test_a_better_candidate_that_is_worse_in_a_guarded_segment_is_held():
    candidate = evidence(0.6, new=0.3)
    gate = judge(evidence(0.5), candidate)
    assert not gate.passed
    assert gate.reason.startswith("ndcg@10 of user: new: worse (0.5000 to 0.3000")
    candidate.terms["guard"]["segments"] = []
    assert judge(evidence(0.5), candidate).passed


def test_too_few_users_to_tell_keep_the_champion_and_how_many_might_do_is_said():
    gate = judge(evidence(0.5), evidence(0.5 + NOISE, new=0.5))
    assert not gate.passed
    one = gate.judged[0]
    assert one.verdict == "cannot be told"
    # The interval reaches about 1.96 * .5 / sqrt(200) = .07 down; .025 is needed, so 7.7 times the users.
    needed = int(gate.reason.partition("about ")[2].partition(" might")[0].replace(",", ""))
    assert needed == pytest.approx(USERS * (0.0693 / 0.025) ** 2, rel=0.2)


def test_a_guarded_segment_without_requests_is_named():
    candidate = evidence(0.5, guard={"segments": ["user: new", "item: cold"]})
    gate = judge(evidence(0.5), candidate)
    assert gate.absent == ["item: cold"]
    assert gate.passed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"window": {"from": "2026-02-01", "until": "2026-02-08"}}, "window .*2026-01-01.* against .*2026-02-01"),
        ({"targets": {"cart": 1.0}}, r"targets \(purchase 1.0\) against \(cart 1.0\)"),
        ({"filter_seen": True}, "filter_seen False against True"),
        ({"catalogue": 91}, "catalogue 90 against 91"),
        ({"key_check": "cd"}, "hashed with different keys"),
        ({"guard": {"metrics": ["recall@10"]}}, r"without recall@10; register it again"),
    ],
)
def test_other_terms_are_refused_with_what_differs(change, told):
    with pytest.raises(InputError, match=told):
        judge(evidence(0.5), evidence(0.5, **change))


def test_other_requests_are_refused_with_their_numbers():
    other, changed = evidence(0.5), evidence(0.5)
    other.request[-2:] += 1000
    with pytest.raises(InputError, match="2 requests only in the champion's and 2 only in the candidate's"):
        judge(evidence(0.5), other)
    changed.relevant[0] += 1
    with pytest.raises(InputError, match="1 requests with other relevant items"):
        judge(evidence(0.5), changed)


def test_a_segment_that_the_champion_was_not_measured_on_is_refused():
    champion = evidence(0.5)
    del champion.parts["user: new"]
    with pytest.raises(InputError, match="without the segments user: new"):
        judge(champion, evidence(0.5))


def test_evidence_comes_back_as_it_was_written(tmp_path):
    written = evidence(np.linspace(0, 1, USERS))
    write_evidence(written, tmp_path / "evidence")
    found = read_evidence(tmp_path / "evidence")
    assert found.terms == written.terms
    assert (found.request == written.request).all()
    for name, part in written.parts.items():
        assert (found.parts[name].rows == part.rows).all()
        assert (found.parts[name].measures["ndcg@10"] == part.measures["ndcg@10"]).all()
