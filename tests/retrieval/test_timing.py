import numpy as np

from retrieval.families import MOST_NODES, Structure
from retrieval.timing import seconds_per_query


class Noted:
    """Notes its name with every batch."""

    def __init__(self, name, notes):
        self.name, self.notes = name, notes

    def search(self, vectors, k, allowed):
        self.notes.append(self.name)


def test_every_search_is_timed_in_every_round_and_in_another_order():
    notes = []
    searches = [Noted(name, notes) for name in "abcd"]
    taken = seconds_per_query(searches, np.ones((5, 2), np.float32), 3, "throughput", rounds=6)
    assert len(taken) == 4
    rounds = ["".join(notes[start : start + 4]) for start in range(0, len(notes), 4)]
    assert all(sorted(one) == list("abcd") for one in rounds)
    # Nobody always comes after the same one, whose scan may have emptied the caches.
    before_b = {one[one.index("b") - 1] for one in rounds if one[0] != "b"}
    assert len(before_b) > 1


def test_all_cells_may_be_looked_at_and_so_many_nodes():
    # Vectors evenly over the sphere need more than half of the cells, which compressed are still faster than all.
    assert Structure("ivf-sq8", "IVF64,SQ8", 64, 0).last_reach(100) == 64
    assert Structure("hnsw", "HNSW32", 0, 0).last_reach(10) == 10 * MOST_NODES
