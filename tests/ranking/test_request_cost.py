import numpy as np
import pytest

from ranking.request_cost import RequestCost, first_candidates, median_cost, time_requests


@pytest.fixture
def examples(describe):
    features = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    return describe([[0, 1, 2], [2, 0, -1]], ["query : hat", "buy"], features=features)


def test_one_request_keeps_its_first_candidates_with_their_numbers(examples):
    one = first_candidates(examples, 1, 2)
    assert one.items.tolist() == [[2, 0]]
    assert one.features.tolist() == [[[6.0, 7.0], [8.0, 9.0]]]
    assert one.contexts.lengths.tolist() == [examples.contexts.lengths[1]]


def test_tokens_are_those_of_requests_that_come_alone(examples, ranker, full_ranker):
    # Context [CLS] query : hat [SEP]: 5 tokens; items [CLS] red shoe [SEP]: 4, and as many for the blue hat.
    one = [first_candidates(examples, 0, 2)]
    once = time_requests(ranker, one, tokens_per_batch=100)
    full = time_requests(full_ranker, one, tokens_per_batch=100)
    assert once.tokens == 5 + 2 * 4 + 2  # each text once, and a look of each candidate at the context
    assert full.tokens == 2 * (5 + 4 - 1)  # a pair shares one [CLS]
    assert min(once.seconds, full.seconds) > 0
    assert min(once.processor_seconds, full.processor_seconds) > 0


def test_a_disturbed_round_does_not_count():
    rounds = [RequestCost(1.0, 0.5, 9), RequestCost(70.0, 0.6, 9), RequestCost(1.2, 0.4, 9)]
    assert median_cost(rounds) == RequestCost(1.2, 0.5, 9)
