import numpy as np
import pytest

from commerce.intervals import bootstrap, bootstrap_columns, draw_means, paired, user_weights

SETTINGS = {"resamples": 500, "confidence": 0.95, "seed": 0}


def test_the_value_is_the_mean_over_requests():
    interval = bootstrap(np.array([1.0, 0.0, 0.5, 0.5]), np.array([3, 3, 9, 11]), **SETTINGS)
    assert interval.value == pytest.approx(0.5)
    assert interval.low <= interval.value <= interval.high


def test_one_user_is_always_drawn_whole():
    # Four different values, but of one user: resampling users can never change their mean.
    interval = bootstrap(np.array([0.0, 1.0, 0.0, 1.0]), np.zeros(4, int), **SETTINGS)
    assert (interval.low, interval.value, interval.high) == (0.5, 0.5, 0.5)


def test_requests_of_one_user_travel_together():
    # 40 users with ten equal requests each know as little as 40 requests, not as much as 400.
    rng = np.random.default_rng(1)
    one_each = rng.random(40)
    alone = bootstrap(one_each, np.arange(40), **SETTINGS)
    together = bootstrap(np.repeat(one_each, 10), np.repeat(np.arange(40), 10), **SETTINGS)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))


def test_a_mean_that_no_request_changes_is_certain_however_requests_are_spread():
    interval = bootstrap(np.ones(10), np.array([0, *[1] * 9]), **SETTINGS)
    assert (interval.low, interval.value, interval.high) == (1, 1, 1)


def test_the_width_is_that_of_the_standard_error():
    values = np.random.default_rng(2).random(1000)
    interval = bootstrap(values, np.arange(1000), resamples=4000, confidence=0.95, seed=0)
    assert interval.high - interval.low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(1000), rel=0.05)


def test_a_constant_gain_on_every_request_is_certain():
    b = np.random.default_rng(3).random(50)
    gain = paired(b + 0.01, b, np.arange(50), **SETTINGS)
    assert (gain.low, gain.high) == pytest.approx((0.01, 0.01))


def test_a_system_does_not_differ_from_itself():
    values = np.random.default_rng(4).random(50)
    assert paired(values, values, np.arange(50), **SETTINGS).as_dict() == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_columns_share_their_draws():
    values = np.random.default_rng(5).random((30, 3))
    users = np.arange(30) // 2
    together = bootstrap_columns(values, users, **SETTINGS)
    for column, interval in zip(values.T, together, strict=True):
        assert interval.as_dict() == pytest.approx(bootstrap(column, users, **SETTINGS).as_dict())


def test_subtracting_draws_is_the_paired_bootstrap():
    rng = np.random.default_rng(8)
    a, b, users = rng.random(40), rng.random(40), rng.integers(0, 9, 40)
    first, second = (draw_means(values[:, None], users, resamples=500, seed=0) for values in (a, b))
    (difference,) = (first - second).intervals(0.95)
    assert difference.as_dict() == pytest.approx(paired(a, b, users, **SETTINGS).as_dict())


def test_permuting_requests_changes_nothing():
    rng = np.random.default_rng(6)
    values, users = rng.random(60), rng.integers(0, 20, 60)
    order = rng.permutation(60)
    assert bootstrap(values[order], users[order], **SETTINGS).as_dict() == pytest.approx(
        bootstrap(values, users, **SETTINGS).as_dict()
    )


def test_every_draw_has_as_many_users_as_there_are(monkeypatch):
    monkeypatch.setattr("commerce.intervals._BLOCK_CELLS", 30)
    blocks = list(user_weights(7, 10, seed=0))
    assert [len(block) for block in blocks] == [4, 4, 2]
    assert (np.concatenate(blocks).sum(axis=1) == 7).all()


@pytest.mark.parametrize(
    ("values", "users", "message"),
    [
        ([], [], "there are no requests"),
        ([1.0, 2.0], [0], "2 values for 1 users"),
        ([np.nan, 2.0], [0, 1], "1 of 2 values are not finite"),
    ],
)
def test_what_has_no_mean_is_refused(values, users, message):
    with pytest.raises(ValueError, match=message):
        bootstrap(np.array(values), np.array(users), **SETTINGS)


def shops(hits, misses, users, groups=20, together=100):
    """Yield (what two systems found, per request and shop, whose request it was) of groups of simulated shops.

    A user's chance of a hit is drawn from a beta distribution; they make one to many requests. System b answers seven
    requests of ten as a does, and knows nothing about a tenth of the users.
    """
    rng = np.random.default_rng(0)
    for _ in range(groups):
        owner = np.repeat(np.arange(users), 1 + rng.geometric(0.4, users))
        chance = rng.beta(hits, misses, (users, together))[owner]
        a = (rng.random(chance.shape) < chance).astype(float)
        known = (rng.random((users, together)) >= 0.1)[owner]
        alone = (rng.random(chance.shape) < chance) & known
        yield a, np.where(rng.random(chance.shape) < 0.7, a, alone), owner


def share_that_hold(truth, measured):
    """Return the share of simulated shops whose 95% interval holds the truth."""
    held = [
        interval.low <= truth <= interval.high
        for seed, (values, owner) in enumerate(measured)
        for interval in bootstrap_columns(values, owner, resamples=1000, confidence=0.95, seed=seed)
    ]
    return np.mean(held)


HARD = [(3, 7), (0.2, 3.8), (0.05, 0.95), (0.05, 4.95)]
"""Chances of a hit: .3 and even; then .05, ever more of it with a few users; then .01."""


# Last: five users of the 500 have all the hits.
@pytest.mark.parametrize("chances", [*HARD, (0.01, 0.99)])
def test_nineteen_of_twenty_intervals_hold_the_truth(chances):
    # 2,000 shops: the share found has a standard error of .005.
    mean = chances[0] / sum(chances)
    assert 0.93 <= share_that_hold(mean, ((a, owner) for a, _, owner in shops(*chances, users=500))) <= 0.97


@pytest.mark.parametrize("chances", HARD)
def test_nineteen_of_twenty_paired_intervals_hold_the_truth(chances):
    gain = 0.3 * 0.1 * chances[0] / sum(chances)  # of the requests not answered alike, a tenth come to nothing
    assert 0.93 <= share_that_hold(gain, ((a - b, owner) for a, b, owner in shops(*chances, users=500))) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("users", [1000, 3000])
@pytest.mark.parametrize("chances", HARD)
def test_intervals_hold_the_truth_with_more_users(chances, users):
    mean = chances[0] / sum(chances)
    single = share_that_hold(mean, ((a, owner) for a, _, owner in shops(*chances, users=users)))
    paired_share = share_that_hold(0.03 * mean, ((a - b, owner) for a, b, owner in shops(*chances, users=users)))
    assert 0.93 <= single <= 0.97
    assert 0.93 <= paired_share <= 0.97


def test_a_mean_that_few_users_make_is_less_sure_upwards():
    # Two of 100 users have all hits: there may well be four, but not fewer than none.
    interval = bootstrap(np.repeat([1.0, 0.0], [2, 98]), np.arange(100), **SETTINGS)
    assert interval.high - interval.value > 1.5 * (interval.value - interval.low)
    assert interval.low >= 0


def test_winners_and_losers_alike_make_an_even_interval():
    values = np.repeat([1.0, -1.0, 0.0], [6, 6, 500])
    interval = bootstrap(values, np.arange(512), resamples=4000, confidence=0.95, seed=0)
    assert interval.high == pytest.approx(-interval.low, rel=0.1)
