"""Torch modules to ONNX graphs, each compared with its module before it is kept."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

TOLERANCE = 1e-4
"""Largest difference between an output of the graph and of the module; fp32 graphs come to about 1e-6."""


def export_graph(
    module: nn.Module,
    path: Path,
    *,
    example: Mapping[str, Tensor],
    check: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Mapping[int, str]],
    most: Mapping[str, int] | None = None,
) -> float:
    """Write ``module`` as an ONNX graph and compare the two on other inputs.

    Args:
        module: called with the values of ``example`` as keyword arguments, whose names become the graph's inputs.
        path: the file to write.
        example: traced with. Sizes of free axes are at least 2, since torch takes a 1 for a constant.
        check: compared on; of other sizes along the free axes.
        outputs: names of the graph's outputs.
        free: input name to {axis: name of its size}; axes of one name have one size.
        most: largest size by name, where the module has one (positions of a language model, say).

    Returns: the largest difference found.

    Raises:
        ValueError: if two examples are one tensor: torch would merge the inputs in silence.
        RuntimeError: if the graph answers something else than the module.
    """
    places = [tensor.data_ptr() for tensor in example.values() if tensor.numel()]
    if len(set(places)) < len(places):
        raise ValueError(f"two of the example inputs {', '.join(example)} share their memory; give each its own tensor")
    names = {name for axes in free.values() for name in axes.values()}
    sizes = {name: torch.export.Dim(name, max=(most or {}).get(name)) for name in sorted(names)}
    shapes = {name: {axis: sizes[size] for axis, size in free.get(name, {}).items()} for name in example}
    was_training = module.training
    module.eval()
    with _quiet(), torch.no_grad():
        # Exported first: given a module, the ONNX exporter turns a free axis into a constant without a word when the
        # module fixes it (by len() of a tensor, say), while this raises.
        program = torch.export.export(module, (), dict(example), dynamic_shapes=shapes)
        torch.onnx.export(
            program,
            f=str(path),
            input_names=list(example),
            output_names=list(outputs),
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        expected = module(**check)
    module.train(was_training)
    found = run_graph(path, check)
    expected = expected if isinstance(expected, tuple) else (expected,)
    difference = max(
        float(np.abs(one.numpy() - other).max(initial=0.0)) for one, other in zip(expected, found, strict=True)
    )
    if not difference <= TOLERANCE:
        raise RuntimeError(
            f"{path.name} differs from its torch module by {difference:.2g}, but at most {TOLERANCE:g} was expected; "
            "the module holds something that does not export (control flow on data, a merged input)"
        )
    return difference


def run_graph(path: Path, inputs: Mapping[str, Tensor]) -> list[np.ndarray]:
    """Return the outputs of the graph in ``path``; inputs that the exporter found unused are left out."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = {one.name for one in session.get_inputs()}
    found: list[np.ndarray] = session.run(
        None, {name: value.numpy() for name, value in inputs.items() if name in wanted}
    )
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter's progress lines and the warnings of packages it looks for and does not need."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)
