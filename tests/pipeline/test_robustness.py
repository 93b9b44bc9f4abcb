"""A reranker that goes by the words of products alone: what is left of its order when the words are noised."""

import json
from functools import partial

import numpy as np
import pytest

from commerce.noise import noised
from configs.errors import InputError
from pipeline.ranking_inputs import RankingInputs
from pipeline.robustness import measure_robustness, parse_strengths, robustness_lines
from pipeline.train_ranker import train_ranker
from tests.pipeline.test_train_ranker import ITEMS, USERS, beside, build_config, build_run, run_stage


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Users buy the candidate of the highest number, which its text alone tells."""
    return build_run(tmp_path_factory.mktemp("words"), lambda affinity, draw: affinity[:, :10].argmax(axis=1))


@pytest.fixture(scope="module")
def measured(run):
    """(run, config, what was found): a reranker whose texts say something, and its order under noise."""
    import torch

    from ranking.module import Ranker

    config = build_config(run, epochs=2)
    _, folder = run_stage(run, config, "train-ranker", train_ranker)
    ranker = Ranker.load_from_checkpoint(folder / "ranker.ckpt", map_location="cpu")
    # The tiny language model has learned next to nothing: let the texts be all that counts.
    with torch.no_grad():
        ranker.cross_encoder.heads.direct.weight.zero_()
        ranker.cross_encoder.heads.numbers.weight.zero_()
        torch.nn.init.normal_(ranker.cross_encoder.heads.text.weight, generator=torch.Generator().manual_seed(0))
    stored = torch.load(folder / "ranker.ckpt", weights_only=False)
    torch.save({**stored, "state_dict": ranker.state_dict()}, folder / "ranker.ckpt")
    return run, config, measure_robustness(config, [0.2, 1.0], 0)


def _row(found, **wanted):
    (row,) = [row for row in found["rows"] if all(row[name] == value for name, value in wanted.items())]
    return row


def test_every_kind_strength_and_place_is_measured_and_paired(measured):
    run, _, found = measured
    assert json.loads((run.root / "robustness.json").read_text()) == found
    told = {(row["noise"], row["strength"], row["where"]) for row in found["rows"]}
    # No request of this shop has search terms, so there is no row about queries.
    assert told == {(n, s, w) for n in ("typos", "order", "script") for s in (0.2, 1.0) for w in ("products", "both")}
    for row in found["rows"]:
        assert row["requests"] == found["requests"] == USERS
        assert row["clean"] == found["clean"]
        assert row["difference"]["value"] == pytest.approx(row["noised"]["value"] - row["clean"]["value"], abs=1e-9)
        assert row["difference"]["low"] <= row["difference"]["value"] <= row["difference"]["high"]


def test_texts_of_one_word_have_no_other_order(measured):
    *_, found = measured
    assert _row(found, noise="order", strength=1.0, where="both")["difference"]["value"] == 0.0


def test_words_that_no_tokenizer_knows_change_the_order(measured):
    *_, found = measured
    wide = _row(found, noise="script", strength=1.0, where="products")
    assert wide["difference"]["value"] != 0.0
    lines = robustness_lines(found)
    assert lines[0].startswith(f"shipped order on {USERS} test requests, 0 of them with search terms: NDCG@10")
    assert len(lines) == 1 + len(found["rows"])


def test_noised_inputs_read_otherwise_and_count_the_same(measured):
    run, config, _ = measured
    inputs = RankingInputs.open(run, config)
    noisy = inputs.noised(partial(noised, kind="script", strength=1.0, seed=0), queries=False)
    assert len(noisy.item_texts) == ITEMS
    assert all(one != other for one, other in zip(noisy.item_texts, inputs.item_texts, strict=True))
    assert noisy.query_texts == inputs.query_texts
    requests = inputs.requests.of("test")
    lists = inputs.lists("test", requests, 10)
    one, other = (each.examples("test", requests, lists) for each in (inputs, noisy))
    assert np.array_equal(one.features, other.features)
    assert not np.array_equal(one.contexts.ids, other.contexts.ids)  # items met before are told in words
    assert not np.array_equal(one.item_tokens.ids, other.item_tokens.ids)


def test_a_closed_gate_has_nothing_to_measure(run, tmp_path):
    scratch = beside(run, tmp_path)
    config = build_config(run, enabled=False)
    config.run.folder = str(tmp_path)
    run_stage(scratch, config, "train-ranker", train_ranker)
    with pytest.raises(InputError, match=r"ships the blended order \(ranking.enabled is false\), which reads no text"):
        measure_robustness(config, [0.1], 0)


@pytest.mark.parametrize(
    ("settings", "moves"),
    [
        ({"text_noise": 1.0, "text_noise_strength": 1.0}, True),
        ({"adversarial": 0.5}, True),
        ({"text_dropout": 0.4}, True),
        ({"text_dropout": 0.1}, False),  # as the folder declares
    ],
)
def test_every_switch_reaches_the_training(run, tmp_path, settings, moves):
    import torch

    weights = []
    for name, changes in (("plain", {}), ("switched", settings)):
        (tmp_path / name).mkdir()
        config = build_config(run, fit_users=20, gate_users=20, train_requests=60, epochs=2, **changes)
        patch = pytest.MonkeyPatch()
        kept = []
        patch.setattr("pipeline.ranker_training.merge_inserted", lambda ranker, kept=kept: kept.append(ranker))
        run_stage(beside(run, tmp_path / name), config, "train-ranker", train_ranker)
        patch.undo()
        weights.append(kept[0].cross_encoder.heads.text.weight.detach())
    assert torch.equal(*weights) is not moves


def test_strengths_are_chances():
    assert parse_strengths(".3, .1") == [0.1, 0.3]
    for wrong in ("0", "1.5", "much", ""):
        with pytest.raises(InputError, match="chances of a word to be changed are expected, above 0 and at most 1"):
            parse_strengths(wrong)
