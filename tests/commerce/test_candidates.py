import numpy as np

from commerce.candidates import CandidateWriter
from commerce.records import CANDIDATES, read_table


def test_a_requests_rows_lie_together_the_blend_first(tmp_path):
    path = tmp_path / "test.parquet"
    with CandidateWriter(path) as file:
        for request in (7, 8):
            file.write(
                np.array([request]),
                np.array([[4, 2, -1]], np.int32),
                np.array([[0.5, 0.25, -np.inf]], np.float32),
                ("near", "often"),
                np.array([[[1, -1], [0, 3], [-1, -1]]], np.int32),
                np.array([[[0.1, 0.0], [0.9, 30.0], [0.0, 0.0]]], np.float32),
            )
    table = read_table("candidates", path)
    assert table.schema.equals(CANDIDATES)
    assert table["request_id"].to_pylist() == [7] * 5 + [8] * 5
    rows = list(zip(*(table[name].to_pylist()[:5] for name in ("item", "source", "rank", "score")), strict=True))
    assert [(item, source, rank, round(score, 6)) for item, source, rank, score in rows] == [
        (4, "blend", 0, 0.5),
        (2, "blend", 1, 0.25),
        (2, "near", 0, 0.9),
        (4, "near", 1, 0.1),
        (2, "often", 3, 30.0),
    ]
