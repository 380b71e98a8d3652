"""The precisions of the matrix products."""

import pytest
import torch

from tests.support.machine import StatedMachine
from tests.trainables.lanes.cases import CPU, digits, lane_curves, widest
from trainables.config import MlpConfig
from trainables.lanes import LaneWorker
from trainables.lanes.products import Bf16Products, Fp32Products, products_for
from trainables.machine import Machine


def test_a_precision_that_the_device_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="precision bf16 is not offered by this cpu device; use fp32"):
        LaneWorker(digits(), device=CPU, lanes=1, precision="bf16", machine=StatedMachine(bf16=False))
    assert isinstance(products_for("fp32"), Fp32Products)
    assert isinstance(products_for("bf16"), Bf16Products)
    assert not Machine().multiplies_bf16(torch.device("meta"))


def test_products_round_their_factors_alone() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b, bias = (torch.randn(2, 6, 6, generator=rng) for _ in range(3))
    rounded = bias + a.bfloat16().float() @ b.bfloat16().float()
    for out in (torch.empty(2, 6, 6), torch.empty(2, 6, 7)[..., :6]):
        Bf16Products().affine(bias, a, b, out)
        # the result passes through bfloat16 once: 8 bits, half a step is 2**-9 of up to 8
        torch.testing.assert_close(out, rounded, rtol=2**-8, atol=2**-6)
        Bf16Products().product(a, b, out)
        torch.testing.assert_close(out, rounded - bias, rtol=2**-8, atol=2**-6)
        Fp32Products().affine(bias, a, b, out)
        torch.testing.assert_close(out, bias + a @ b, rtol=1e-5, atol=1e-5)  # float32, sums of 6


def test_bf16_trains_near_fp32() -> None:
    """On any CPU: torch emulates what the hardware lacks."""
    machine = StatedMachine(bf16=True)
    configs = [MlpConfig(max_epochs=4, hidden=(24, 16), batch_norm=bn, dropout=0.2) for bn in (False, True)]
    for mode in ("stacked", "looped"):
        fp32, bf16 = (
            lane_curves(
                LaneWorker(digits(), device=CPU, lanes=2, mode=mode, precision=precision, machine=machine),
                list(enumerate(configs)),
            )
            for precision in ("fp32", "bf16")
        )
        for number in fp32:
            difference = widest(bf16[number], fp32[number])
            # bfloat16 rounds a factor by up to 0.4%, either way; the widest of 20 seeds was 0.06%
            assert 0 < difference < 0.005
