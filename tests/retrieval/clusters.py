"""Vectors in clusters, like a shop's: items around centres, users a little further from them."""

import numpy as np


def draw(items, dim, queries, *, seed=0, spread=0.5, apart=0.8, per_cluster=200):
    """Return unit vectors: items, queries, and as many fresh queries of the same kind."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(max(8, items // per_cluster), dim)))

    def around(count, spread):
        near = centres[rng.integers(0, len(centres), count)]
        return unit(near + spread * rng.normal(size=(count, dim)) / np.sqrt(dim)).astype(np.float32)

    return around(items, spread), around(queries, apart), around(queries, apart)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
