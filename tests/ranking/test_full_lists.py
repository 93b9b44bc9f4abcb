"""Lists with full attention: one function in training, in scoring, and in the exported form."""

import numpy as np
import onnxruntime
import pytest
import torch

from ranking.batches import lay, make_batch
from ranking.cost import measure_speed, reading_tokens
from ranking.module import Ranker
from ranking.rerank import score_lists, score_numbers


@pytest.fixture
def ranker(full_ranker):
    torch.manual_seed(3)
    torch.nn.init.normal_(full_ranker.cross_encoder.heads.text.weight)  # silent until it has learned something
    return full_ranker


@pytest.fixture
def examples(describe):
    draw = np.random.default_rng(1)
    features, intent = draw.normal(size=(2, 3, 2)), [[0.2, 0.3, 0.5], [1, 0, 0]]
    return describe([[0, 1, 2], [2, 0, -1]], ["query : red", "buy"], features, intent)


def scores_of(ranker, examples, tokens_per_batch=1000):
    return score_lists(ranker, examples, tokens_per_batch=tokens_per_batch, precision="fp32")


def request_of(examples, row, padding=0):
    items = examples.items[row][examples.items[row] >= 0]
    texts = [*lay(examples.contexts, np.array([row])), *lay(examples.item_tokens, items)]
    texts = [torch.nn.functional.pad(part, (0, padding)) for part in texts]
    return (*texts, torch.from_numpy(examples.features[row][: len(items)]), torch.from_numpy(examples.intent[[row]]))


def test_training_and_the_exported_form_score_as_scoring_does(ranker, examples):
    listed = scores_of(ranker, examples)
    with torch.no_grad():
        trained = ranker(make_batch(examples, np.array([0, 1]), np.zeros((2, 3), np.float32))).numpy()
        alone = [ranker.cross_encoder(*request_of(examples, row, padding=2)).numpy() for row in range(2)]
    assert listed == pytest.approx(trained, abs=1e-5)
    assert listed[0] == pytest.approx(alone[0], abs=1e-5)
    assert listed[1, :2] == pytest.approx(alone[1], abs=1e-5)
    assert listed[1, 2] == -np.inf


def test_the_batch_size_changes_no_score(ranker, examples):
    assert scores_of(ranker, examples, tokens_per_batch=1) == pytest.approx(scores_of(ranker, examples), abs=1e-5)


def test_context_and_item_are_read_together(ranker, describe):
    torch.nn.init.normal_(ranker.cross_encoder.heads.text.weight, std=10)
    scores = scores_of(ranker, describe([[0, 1], [0, 1]], ["red shoe", "blue hat"]))
    assert (scores[0, 0] - scores[0, 1]) != pytest.approx(scores[1, 0] - scores[1, 1], abs=1e-5)


def test_numbers_alone_are_what_a_silent_text_layer_leaves(ranker, examples):
    with torch.no_grad():
        ranker.cross_encoder.heads.text.weight.zero_()
        ranker.cross_encoder.heads.text.bias.zero_()
    assert score_numbers(ranker, examples) == pytest.approx(scores_of(ranker, examples), abs=1e-6)


def test_tokens_are_those_of_every_pair(ranker, examples):
    # [CLS] query : red [SEP] is 5 tokens, [CLS] buy [SEP] 3; red shoe [SEP], blue hat [SEP], hat [SEP]: 3, 3, 2
    assert ranker.cross_encoder.training_tokens(examples).tolist() == [8 + 8 + 7, 5 + 6]
    mean = 4 + (4 + 4 + 3) / 3 - 1
    assert reading_tokens(ranker, examples) == round(5 * mean)
    speed = measure_speed(
        ranker, examples, np.ones((2, 3), np.float32), tokens_per_batch=40, batch_lists=4, precision="fp32"
    )
    assert min(speed.reading, speed.training) > 0


def test_a_checkpoint_remembers_how_it_reads(ranker, examples, tmp_path):
    import lightning as L

    trainer = L.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.strategy.connect(ranker)
    trainer.save_checkpoint(tmp_path / "ranker.ckpt", weights_only=True)
    again = Ranker.load_from_checkpoint(tmp_path / "ranker.ckpt", map_location="cpu")
    assert scores_of(again, examples) == pytest.approx(scores_of(ranker, examples), abs=1e-6)


def test_the_exported_graph_scores_as_torch(ranker, examples, tmp_path):
    from pipeline.graphs import export_graph

    names = ["context_ids", "context_mask", "item_ids", "item_mask", "features", "intent"]
    example, check = (dict(zip(names, request_of(examples, 0, padding), strict=True)) for padding in (0, 3))
    path = tmp_path / "reranker.onnx"
    difference = export_graph(
        ranker.cross_encoder,
        path,
        example=example,
        check=check,
        outputs=["scores"],
        free={
            **{name: {1: "context"} for name in ("context_ids", "context_mask")},
            **{name: {0: "candidates", 1: "tokens"} for name in ("item_ids", "item_mask")},
            "features": {0: "candidates"},
        },
        most={"context": 12, "tokens": 12},
    )
    assert difference < 1e-5
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = dict(zip(names, request_of(examples, 1), strict=True))
    (answer,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
    assert answer == pytest.approx(scores_of(ranker, examples)[1, :2], abs=1e-5)
