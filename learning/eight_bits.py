"""ONNX graphs with weights of eight bits, that mean the same on every processor."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path


def quantise(graph: Path, target: Path, operators: Sequence[str] | None = None) -> None:
    """Write a graph with its weights in int8, one scale a channel; activations take the range of each call.

    Weights use seven of the eight bits. Processors without VNNI or AMX add up two products of eight bits in sixteen,
    which overflow where both are large: a linear layer of 64 inputs was then wrong by .48, instead of by .03, and a
    bundle has to answer alike wherever it is served (``reduce_range`` of ONNX Runtime).

    Args:
        graph: in float32.
        target: may be the same file.
        operators: that are quantised; none named: all that can be.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # it advises a preparation that the exporter has done
    try:
        quantize_dynamic(
            graph,
            target,
            op_types_to_quantize=None if operators is None else list(operators),
            per_channel=True,
            reduce_range=True,
            weight_type=QuantType.QInt8,
        )
    finally:
        logger.setLevel(level)
