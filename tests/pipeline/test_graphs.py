import pytest
import torch
from torch import nn

from pipeline.graphs import export_graph


class Sum(nn.Module):
    def forward(self, one, other):
        return one + 2 * other


class FixedBatch(nn.Module):
    def forward(self, one, other):
        return one + other.expand(len(one), -1)  # len() makes the size a constant


def pair(rows):
    return {"one": torch.rand(rows, 3), "other": torch.rand(rows, 3)}


FREE = {"one": {0: "rows"}, "other": {0: "rows"}}


def test_a_graph_repeats_its_module_at_other_sizes(tmp_path):
    difference = export_graph(Sum(), tmp_path / "sum.onnx", example=pair(2), check=pair(5), outputs=["sum"], free=FREE)
    assert difference < 1e-6
    assert (tmp_path / "sum.onnx").is_file()


def test_one_tensor_as_two_inputs_is_refused(tmp_path):
    shared = torch.rand(2, 3)
    with pytest.raises(ValueError, match="one, other share their memory"):
        export_graph(
            Sum(),
            tmp_path / "sum.onnx",
            example={"one": shared, "other": shared},
            check=pair(5),
            outputs=["sum"],
            free=FREE,
        )


def test_a_module_that_fixes_a_free_size_is_refused(tmp_path):
    with pytest.raises(Exception, match="specialized it to be a constant"):
        export_graph(
            FixedBatch(),
            tmp_path / "fixed.onnx",
            example={"one": torch.rand(2, 3), "other": torch.rand(1, 3)},
            check=pair(5),
            outputs=["sum"],
            free={"one": {0: "rows"}},
        )


def test_a_graph_that_answers_otherwise_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.graphs.run_graph", lambda path, inputs: [inputs["one"].numpy()])
    with pytest.raises(RuntimeError, match=r"sum\.onnx differs from its torch module by"):
        export_graph(Sum(), tmp_path / "sum.onnx", example=pair(2), check=pair(5), outputs=["sum"], free=FREE)
