"""Weights of eight bits: a quarter of the size, nearly the same answers, on any processor."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from learning.eight_bits import quantise


@pytest.fixture
def layer(tmp_path):
    """A linear layer of 64 inputs and 256 outputs, and its weights."""
    weights = np.random.default_rng(0).uniform(-0.125, 0.125, (64, 256)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 256])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.save(model, tmp_path / "fp32.onnx")
    return tmp_path / "fp32.onnx", weights


def answers(path, rows):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": rows})[0]


def test_it_is_a_quarter_of_the_size_and_nearly_the_same(layer, tmp_path):
    graph, weights = layer
    quantise(graph, tmp_path / "int8.onnx")
    assert (tmp_path / "int8.onnx").stat().st_size < 0.4 * graph.stat().st_size
    rows = np.random.default_rng(1).normal(size=(50, 64)).astype(np.float32)
    apart = np.abs(answers(tmp_path / "int8.onnx", rows) - rows @ weights).max()
    assert 0 < apart < 0.05


def test_no_two_products_overflow_sixteen_bits_where_a_processor_adds_them_up_in_those(layer, tmp_path):
    quantise(layer[0], tmp_path / "int8.onnx", ["MatMul"])
    (weights,) = (
        numpy_helper.to_array(one)
        for one in onnx.load(tmp_path / "int8.onnx").graph.initializer
        if one.data_type == TensorProto.INT8 and len(one.dims) == 2
    )
    assert 2 * 255 * int(np.abs(weights.astype(np.int32)).max()) < 2**15


def test_a_graph_may_be_written_over(layer):
    graph, _ = layer
    size = graph.stat().st_size
    quantise(graph, graph, ["MatMul"])
    assert graph.stat().st_size < 0.4 * size
