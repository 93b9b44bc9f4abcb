import pytest
import torch

from learning.dropout import ByteDropout


def test_nothing_is_dropped_outside_training():
    x = torch.randn(3, 5)
    assert torch.equal(ByteDropout(0.5).eval()(x), x)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_the_share_is_dropped_and_the_mean_stays(share):
    torch.manual_seed(0)
    dropped = ByteDropout(share)(torch.ones(100, 1001))
    assert (dropped == 0).float().mean().item() == pytest.approx(share, abs=0.005)
    assert dropped.mean().item() == pytest.approx(1.0, abs=0.03)


def test_one_seed_drops_the_same_elements_and_only_those_lose_their_gradient():
    x = torch.ones(64, requires_grad=True)
    masks = []
    for _ in range(2):
        torch.manual_seed(1)
        masks.append(ByteDropout(0.5)(x))
    assert torch.equal(*masks)
    masks[0].sum().backward()
    assert torch.equal(x.grad, masks[0].detach())


def test_a_share_of_one_is_refused():
    with pytest.raises(ValueError, match=r"in \[0, 1\), got 1.0"):
        ByteDropout(1.0)
