import numpy as np

from commerce.segments import item_classes
from pipeline.report.popularity import shares_of

# 10 events: item 0 has half of them and is the head; item 1 begins at half and is torso; item 2 begins at .8.
CLASSES = item_classes(np.array([5, 3, 2, 0]))


def test_shares_are_those_of_the_places():
    shares = shares_of("a", np.array([1, 2, 0, 1]), CLASSES)
    assert shares.shares == {"head": 0.25, "torso": 0.5, "tail": 0.25}
    assert shares.cold == 0.25


def test_the_catalogue_counts_each_item_once():
    assert shares_of("catalogue", np.ones(4, int), CLASSES).shares == {"head": 0.25, "torso": 0.25, "tail": 0.5}


def test_a_system_that_shows_nothing_has_no_shares():
    assert sum(shares_of("silent", np.zeros(4, int), CLASSES).shares.values()) == 0
