import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from commerce.calibration import expected_calibration_error, reliability
from learning.calibration import CalibrationError

PROBABILITIES = st.one_of(st.floats(0, 1, width=32), st.sampled_from([0.0, 0.25, 1.0]))


def error(probabilities, happened, bins, batch=3):
    measure = CalibrationError(bins)
    for said, came in zip(probabilities.split(batch), happened.split(batch), strict=True):
        measure.update(said, came)
    return measure.compute().item()


def test_the_error_worked_out_on_paper():
    # The three halves share a bin and are 1/2 - 1/3 = 1/6 off, the fourth is 1/10 off.
    found = error(torch.tensor([0.5, 0.9, 0.5, 0.5]), torch.tensor([1, 1, 0, 0]), bins=2)
    assert found == pytest.approx((3 / 6 + 1 / 10) / 4)


@given(
    st.lists(st.tuples(PROBABILITIES, st.booleans()), min_size=1),
    st.integers(1, 12),
)
@settings(max_examples=80, deadline=None)
def test_values_are_those_of_numpy(moments, bins):
    probabilities = np.array([probability for probability, _ in moments], np.float32)
    happened = np.array([came for _, came in moments])
    expected = expected_calibration_error(reliability(probabilities, happened, bins))
    assert error(torch.from_numpy(probabilities), torch.from_numpy(happened), bins) == pytest.approx(expected, abs=1e-6)


def test_before_any_moment_it_is_unknown():
    assert CalibrationError(10).compute().isnan()


@pytest.mark.parametrize(
    ("probabilities", "happened", "message"),
    [
        ([0.2, 1.5], [True, False], "pass them, not scores or logits"),
        ([0.2, float("nan")], [True, False], "pass them, not scores or logits"),
        ([0.2, 0.3], [True], r"got \(1,\) outcomes and \(2,\) probabilities"),
    ],
)
def test_what_is_no_probability_is_refused(probabilities, happened, message):
    with pytest.raises(ValueError, match=message):
        CalibrationError(10).update(torch.tensor(probabilities), torch.tensor(happened))


def test_no_bin_is_refused():
    with pytest.raises(ValueError, match="at least one bin is needed, got 0"):
        CalibrationError(0)


_RANK = """
import sys, torch, torch.distributed as dist
from learning.calibration import CalibrationError
rank, rendezvous = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=2)
generator = torch.Generator().manual_seed(0)
given = torch.rand(101, generator=generator)
happened = torch.rand(101, generator=generator) < given ** 2
for border in (37, 101):  # shares of unequal size; then all of it on one rank, nothing on the other
    span = slice(0, border) if rank == 0 else slice(border, 101)
    together = CalibrationError(7)
    if len(given[span]):
        for part, came in zip(given[span].split(10), happened[span].split(10)):
            together.update(part, came)
    found = together.compute()
    alone = CalibrationError(7)
    alone.distributed_available_fn = lambda: False
    alone.update(given, happened)
    expected = alone.compute()
    assert abs(found - expected) < 1e-12, (border, found, expected)
    assert expected > 0.1
dist.barrier()
dist.destroy_process_group()
"""


def test_two_processes_measure_what_one_does(tmp_path):
    command = [sys.executable, "-c", _RANK]
    ranks = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meet")], stderr=subprocess.PIPE, text=True)
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, error = rank.communicate(timeout=60)
        assert rank.returncode == 0, error
