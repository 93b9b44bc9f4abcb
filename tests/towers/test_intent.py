import numpy as np
import pytest
import torch
import torch.nn.functional as F

from commerce.columns import INTENTS
from towers.intent import IntentHead, fit_intents, fit_temperature
from towers.intent_moments import intent_moments


def test_before_it_is_fitted_every_intent_is_equally_likely():
    chances = IntentHead(4)(torch.randn(3, 4))
    torch.testing.assert_close(chances, torch.full((3, 3), 1 / 3))


def test_it_finds_what_the_states_tell():
    states, labels = _moments(600)
    head = IntentHead(4)
    fit_intents(head, states[:400], labels[:400])
    assert (head(states[400:]).argmax(dim=1) == labels[400:]).float().mean() > 0.9
    assert bool(head.known)


def test_the_temperature_makes_too_bold_chances_honest():
    states, labels = _moments(2000)
    head = IntentHead(4)
    fit_intents(head, states, labels)
    noise = torch.randint(3, (2000,), generator=torch.Generator().manual_seed(5))
    mixed = torch.where(torch.arange(2000) % 2 == 0, labels, noise)  # in truth it is right two times out of three
    before = F.nll_loss(head(states).log(), mixed)
    fit_temperature(head, states, mixed)
    assert head.temperature > 1.5
    assert F.nll_loss(head(states).log(), mixed) < before
    assert head(states).max(dim=1).values.mean().item() == pytest.approx(2 / 3, abs=0.05)


def test_moments_are_session_starts_and_searches_of_the_towers_window(lay):
    histories = lay([(1, "view", 1), (2, "search", 0), (3, "purchase", 2), (50, "view", 3), (51, "view", 4)])
    histories = type(histories)(**{**vars(histories), "session": np.array([0, 0, 0, 1, 1])})
    browse, buy = INTENTS.index("browse"), INTENTS.index("buy")
    labels = np.array([buy, buy, -1, browse, -1], dtype=np.int8)
    found = intent_moments(histories, histories.offsets[1:], labels, 100, seed=0)
    # Before the first session, before the second, and after the search, which is visible then.
    assert sorted(zip(found.end.tolist(), found.label.tolist(), strict=True)) == [(0, buy), (2, buy), (3, browse)]
    early = intent_moments(histories, np.array([2]), labels, 100, seed=0)
    assert sorted(early.end.tolist()) == [0, 2]
    assert len(intent_moments(histories, histories.offsets[1:], labels, 2, seed=0)) == 2


def _moments(count):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (count,), generator=generator)
    states = torch.randn(count, 4, generator=generator)
    states[:, :3] += 4 * F.one_hot(labels, 3)
    return states, labels
