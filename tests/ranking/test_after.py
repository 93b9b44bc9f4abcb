from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce.metrics import discount
from ranking.after import Rules, arrange

NONE = np.empty(0, dtype=np.int32)
ITEMS = 12
"""Items of the made-up catalogue; item i is of category i % 3 and of group i % 2."""


def rules(**changed):
    plain = Rules(
        top=4,
        diversity=0.0,
        per_category=0,
        category=(np.arange(ITEMS) % 3).astype(np.int32),
        pinned=NONE,
        places=NONE,
        boosted=NONE,
        boosts=NONE.astype(np.float32),
        suppressed=NONE,
        floors=np.zeros(2),
        group=(np.arange(ITEMS) % 2).astype(np.int32),
        category_names=np.array(["red", "green", "blue"]),
        group_names=np.array(["big", "small"]),
    )
    codes = {
        name: np.array(value, dtype=np.int32)
        for name, value in changed.items()
        if name in ("pinned", "places", "boosted", "suppressed")
    }
    return replace(plain, **{**changed, **codes})


def one(rules, items, scores=None, pinnable=None, variants=None, vectors=None):
    """Arrange a single list; scores fall by one from place to place unless given."""
    listed = np.array([items], dtype=np.int32)
    scores = np.arange(len(items), 0, -1) if scores is None else scores
    scored = np.where(listed >= 0, np.array([scores], dtype=np.float32), -np.inf).astype(np.float32)
    pinnable = np.ones((1, len(rules.pinned)), bool) if pinnable is None else np.array([pinnable])
    vectors = np.eye(ITEMS, dtype=np.float32) if vectors is None else vectors
    return arrange(listed, scored, rules, vectors, pinnable, variants)


def test_without_rules_a_list_stays_as_it_is():
    found = one(rules(), [5, 3, 8, 1, 0, -1])
    assert found.items[0].tolist() == [5, 3, 8, 1, 0, -1]
    assert found.scores[0].tolist() == [6, 5, 4, 3, 2, -np.inf]
    assert rules().active == ()


def test_a_full_category_waits_below_the_arranged_places():
    # 0, 3, 6 and 9 are red: one of them may stand among the first three.
    found = one(rules(top=3, per_category=1), [0, 3, 6, 1, 2, 9])
    assert found.items[0].tolist() == [0, 1, 2, 3, 6, 9]
    assert found.over.tolist() == [0]


def test_a_list_that_would_run_short_keeps_its_full_category_and_says_so():
    found = one(rules(top=3, per_category=1), [0, 3, 6])
    assert found.items[0].tolist() == [0, 3, 6]
    assert found.over.tolist() == [2]
    assert found.notes() == ["1 of 1 lists: more of a category than after.per_category, else the list would run short"]


def test_a_pinned_item_stands_where_it_was_pinned_whether_it_was_found_or_not():
    found = one(rules(pinned=[7, 2], places=[1, 3]), [0, 1, 2, 3, 4, -1, -1])
    assert found.items[0].tolist() == [0, 7, 1, 2, 3, 4, -1]
    assert np.all(np.diff(found.scores[0][:6]) <= 0)


def test_a_pinned_item_that_may_not_be_shown_is_not():
    found = one(rules(pinned=[7], places=[0]), [0, 1, 2], pinnable=[False])
    assert found.items[0].tolist() == [0, 1, 2]
    assert found.said() == ["after ranking: a pinned item may not be shown to this request"]


def test_a_pinned_item_takes_the_place_of_its_variants():
    variants = np.arange(ITEMS, dtype=np.int32)
    variants[[2, 7]] = 2
    found = one(rules(pinned=[7], places=[0]), [2, 0, 1, -1], variants=variants)
    assert found.items[0].tolist() == [7, 0, 1, -1]


def test_a_boost_is_told_in_spreads_of_the_lists_scores():
    # The scores 4, 3, 2, 1 have spread 1.118: one spread lifts the last past the third, two past the second.
    assert one(rules(boosted=[9], boosts=np.float32([1.0])), [0, 1, 2, 9]).items[0].tolist() == [0, 1, 9, 2]
    assert one(rules(boosted=[9], boosts=np.float32([2.0])), [0, 1, 2, 9]).items[0].tolist() == [0, 9, 1, 2]
    assert one(rules(boosted=[0], boosts=np.float32([-1.0])), [0, 1, 2, 9]).items[0].tolist() == [1, 0, 2, 9]


def test_a_suppressed_item_is_in_no_list():
    found = one(rules(suppressed=[1, 4]), [0, 1, 2, 4])
    assert found.items[0].tolist() == [0, 2, -1, -1]
    assert found.scores[0].tolist() == [4, 2, -np.inf, -np.inf]


def test_diversity_prefers_what_is_unlike_the_items_above():
    vectors = np.eye(ITEMS, dtype=np.float32)
    vectors[1] = vectors[0]  # a look-alike
    listed = [0, 1, 2]
    assert one(rules(diversity=0.3), listed, [3, 2.9, 2], vectors=vectors).items[0].tolist() == [0, 1, 2]
    assert one(rules(diversity=0.7), listed, [3, 2.9, 2], vectors=vectors).items[0].tolist() == [0, 2, 1]


def test_a_floor_gives_a_group_its_share_of_exposure():
    # Odd items are small; by score they come last.
    found = one(rules(floors=np.array([0.0, 0.5])), [0, 2, 4, 6, 1, 3, 5])
    weights = discount(np.arange(4))
    assert weights[found.items[0][:4] % 2 == 1].sum() >= 0.5 * weights.sum()
    assert found.items[0][0] == 0, "the best item need not give way at once"
    assert found.unmet.tolist() == [0]


def test_a_floor_that_the_candidates_cannot_meet_is_said():
    found = one(rules(floors=np.array([0.0, 0.9])), [0, 2, 4, 1])
    assert found.items[0][0] == 1
    assert found.unmet.tolist() == [1]


def test_rules_survive_their_file(tmp_path):
    told = rules(pinned=[3], places=[0], floors=np.array([0.1, 0.2]), diversity=0.25)
    told.save(tmp_path / "rules.npz")
    read = Rules.load(tmp_path / "rules.npz")
    for name, value in vars(told).items():
        np.testing.assert_array_equal(getattr(read, name), value)
    grown = read.grown(["green", "mauve"], ["small", ""])
    assert grown.category[-2:].tolist() == [1, -1]
    assert grown.group[-2:].tolist() == [1, -1]


@st.composite
def shops(draw):
    """Rules of any kind, and some lists for them."""
    lists = draw(st.lists(st.permutations(range(ITEMS)), min_size=1, max_size=4))
    lengths = draw(st.lists(st.integers(0, ITEMS), min_size=len(lists), max_size=len(lists)))
    items = np.array(lists, dtype=np.int32)
    items[np.arange(ITEMS) >= np.array(lengths)[:, None]] = -1
    pins = draw(st.lists(st.integers(0, ITEMS - 1), max_size=2, unique=True))
    places = draw(st.permutations(range(4)))[: len(pins)]
    hidden = draw(st.sets(st.integers(0, ITEMS - 1), max_size=3)) - set(pins)
    told = rules(
        per_category=draw(st.sampled_from([0, 1, 2])),
        diversity=draw(st.sampled_from([0.0, 0.4])),
        pinned=pins,
        places=places,
        suppressed=sorted(hidden),
        floors=np.array([0.0, draw(st.sampled_from([0.0, 0.3, 0.6]))]),
    )
    pinnable = np.array(
        draw(
            st.lists(
                st.lists(st.booleans(), min_size=len(pins), max_size=len(pins)),
                min_size=len(lists),
                max_size=len(lists),
            )
        )
    ).reshape(len(lists), len(pins))
    return told, items, pinnable.astype(bool), draw(st.booleans())


@settings(max_examples=300, deadline=None)
@given(shops())
def test_rules_hold_together_in_any_list(shop):
    told, items, pinnable, one_variant = shop
    variants = (np.arange(ITEMS) // 2 * 2).astype(np.int32) if one_variant else None
    if variants is not None:  # as retrieve leaves the lists, and as no shop pins two variants of one product
        for row in items:
            first = np.unique(np.where(row >= 0, variants[row], -1 - np.arange(ITEMS)), return_index=True)[1]
            keep = np.zeros(ITEMS, bool)
            keep[first] = True
            row[:] = np.concatenate([row[keep & (row >= 0)], np.full(ITEMS - (keep & (row >= 0)).sum(), -1)])
        if len(set(variants[told.pinned])) < len(told.pinned):
            told = told.without("pins")
            pinnable = pinnable[:, :0]
    scores = np.where(items >= 0, -np.arange(ITEMS, dtype=np.float32), -np.inf).astype(np.float32)
    found = arrange(items, scores, told, np.eye(ITEMS, dtype=np.float32), pinnable, variants)
    weights = discount(np.arange(4))
    for row, listed in enumerate(found.items):
        shown = listed[listed >= 0]
        pinned = told.pinned[pinnable[row]]
        assert (listed[len(shown) :] == -1).all()
        assert len(set(shown)) == len(shown)
        assert set(shown) <= {*items[row][items[row] >= 0], *pinned}
        assert not set(shown) & set(told.suppressed)
        if variants is not None:
            assert len(set(variants[shown])) == len(shown)
        kept = found.scores[row][: len(shown)]
        assert np.isfinite(kept).all()
        assert np.all(np.diff(kept) <= 0)
        if len(shown) >= told.top:
            for item, place in zip(pinned, told.places[pinnable[row]], strict=True):
                assert shown[place] == item
        head = shown[: told.top]
        free = head[~np.isin(head, pinned)]
        if told.per_category and not found.over[row]:
            of_pins = np.bincount(told.category[np.intersect1d(head, pinned)], minlength=3)
            counts = np.bincount(told.category[free], minlength=3)
            # What is pinned below a place is not known above it, so a cap may be passed by pins alone.
            assert np.all(counts <= told.per_category)
            assert np.all((counts + of_pins <= told.per_category) | (of_pins > 0))
        if told.floors.any():
            got = weights[: len(head)][told.group[head] == 1].sum()
            assert found.unmet[row] == (got < told.floors[1] * weights[: len(head)].sum() - 1e-6)


def test_a_single_floor_is_kept_wherever_there_are_candidates_enough():
    for seed in range(50):
        draw = np.random.default_rng(seed)
        items = draw.permutation(ITEMS)
        share = float(draw.choice([0.1, 0.3, 0.5, 0.8]))
        found = one(rules(floors=np.array([0.0, share])), items)
        assert found.unmet.tolist() == [0], (items, share)


def test_rules_need_codes_of_one_catalogue():
    with pytest.raises(ValueError, match="give both"):
        rules(group=NONE)
