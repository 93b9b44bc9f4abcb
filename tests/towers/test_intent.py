import pytest
import torch
import torch.nn.functional as F

from towers.intent import STATE_PRIORS, IntentHead, calibrate_intents, fit_intents, fit_intents_by


def test_before_it_is_fitted_every_intent_is_equally_likely():
    chances = IntentHead(4, 2)(torch.randn(3, 4), torch.randn(3, 2))
    torch.testing.assert_close(chances, torch.full((3, 3), 1 / 3))


@pytest.mark.parametrize("told_by", ["states", "statistics"])
def test_it_finds_what_states_and_statistics_tell(told_by):
    telling, labels = _moments(600)
    states, statistics = (telling, torch.zeros(600, 2)) if told_by == "states" else (torch.zeros(600, 2), telling)
    head = IntentHead(states.shape[1], statistics.shape[1])
    fit_intents(head, states[:400], statistics[:400], labels[:400])
    assert (head(states[400:], statistics[400:]).argmax(dim=1) == labels[400:]).float().mean() > 0.9
    assert bool(head.known)


def test_a_rare_intent_is_learned_as_a_common_one_is_and_its_rarity_kept_in_the_chances():
    telling, labels = _moments(4000, strength=0.3)
    kept = (labels != 2) | (torch.arange(4000) % 20 == 0)
    telling, labels = telling[kept], labels[kept]
    nothing = torch.zeros(len(labels), 0)
    head = IntentHead(4, 0)
    fit_intents(head, telling, nothing, labels)
    balanced = F.one_hot(head.scores(telling, nothing).argmax(dim=1), 3).float().mean(dim=0)
    assert balanced.min() > 0.2  # by its scores the rare one is as likely as the others
    shares = F.one_hot(labels, 3).float().mean(dim=0)
    assert shares[2] < 0.03
    torch.testing.assert_close(head(telling, nothing).mean(dim=0), shares, atol=0.02, rtol=0)


def test_calibration_makes_too_bold_chances_honest():
    telling, labels = _moments(2000)
    nothing = torch.zeros(2000, 0)
    head = IntentHead(4, 0)
    fit_intents(head, telling, nothing, labels)
    noise = torch.randint(3, (2000,), generator=torch.Generator().manual_seed(5))
    mixed = torch.where(torch.arange(2000) % 2 == 0, labels, noise)  # in truth it is right two times out of three
    before = F.nll_loss(head(telling, nothing).log(), mixed)
    calibrate_intents(head, telling, nothing, mixed)
    assert head.temperature > 1.5
    assert F.nll_loss(head(telling, nothing).log(), mixed) < before
    assert head(telling, nothing).max(dim=1).values.mean().item() == pytest.approx(2 / 3, abs=0.05)


def test_calibration_takes_over_other_shares_and_survives_an_intent_that_never_came():
    telling, labels = _moments(2000)
    nothing = torch.zeros(2000, 0)
    head = IntentHead(4, 0)
    fit_intents(head, telling * 0, nothing, labels)
    later = torch.tensor([0] * 900 + [1] * 100)
    calibrate_intents(head, telling[:1000] * 0, nothing[:1000], later)
    # One moment of each intent counts along: 901, 101 and 1 of 1,003.
    torch.testing.assert_close(
        head(telling[:1] * 0, nothing[:1])[0], torch.tensor([901, 101, 1]) / 1003, atol=2e-3, rtol=0
    )


def test_a_number_that_never_varied_says_nothing_when_it_does():
    telling, labels = _moments(400)
    head = IntentHead(4, 1)
    fit_intents(head, telling, torch.zeros(400, 1), labels)
    torch.testing.assert_close(
        head(telling, torch.full((400, 1), 50.0)), head(telling, torch.zeros(400, 1)), atol=1e-3, rtol=0
    )


def test_few_labels_and_states_that_say_nothing_call_for_a_strong_prior():
    telling, labels = _moments(2000)
    noise = torch.randn(2000, 100, generator=torch.Generator().manual_seed(3))
    head = IntentHead(100, 4)
    few, held_out = ((noise[rows], telling[rows], labels[rows]) for rows in (slice(0, 150), slice(500, 2000)))
    assert fit_intents_by(head, few, held_out) > STATE_PRIORS[0]
    strong = F.nll_loss(head(noise[150:500], telling[150:500]).log(), labels[150:500])
    fit_intents(head, *few)
    calibrate_intents(head, *held_out)
    assert strong < F.nll_loss(head(noise[150:500], telling[150:500]).log(), labels[150:500])


def test_states_that_tell_and_enough_labels_keep_the_weak_prior():
    telling, labels = _moments(2000, strength=1.0)
    noise = torch.randn(2000, 30, generator=torch.Generator().manual_seed(3))
    head = IntentHead(4, 30)
    cut = (slice(0, 1000), slice(1000, 2000))
    assert fit_intents_by(head, *((telling[at], noise[at], labels[at]) for at in cut)) == STATE_PRIORS[0]
    assert bool(head.known)


def _moments(count, strength=4.0):
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(3, (count,), generator=generator)
    states = torch.randn(count, 4, generator=generator)
    states[:, :3] += strength * F.one_hot(labels, 3)
    return states, labels
