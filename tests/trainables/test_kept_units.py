"""What dropout keeps is drawn bit for bit as torch draws it, of one trial or of several at once."""

import pytest
import torch

from trainables import own_draws
from trainables.own_draws import compares_uniforms, draw_kept


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(like: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    return torch.empty_like(like).bernoulli_(share, generator=generator)


@pytest.fixture(params=[True, False], ids=["by uniform numbers", "by torch"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if request.param and not compares_uniforms():
        pytest.skip("torch draws otherwise on this machine")
    monkeypatch.setattr(own_draws, "compares_uniforms", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_trials_units_are_those_that_torch_keeps(way: bool, dtype: torch.dtype) -> None:
    for like in (torch.empty(7, 33, dtype=dtype), torch.empty(3, 4, 5, 6, dtype=dtype).transpose(1, 3)):
        mine, theirs = seeded(3), seeded(3)
        for share in (0.9, 0.37):
            found = draw_kept(like, [share], [mine])
            assert torch.equal(found, drawn(like, share, theirs)) and found.dtype == dtype
        assert torch.equal(mine.get_state(), theirs.get_state())


def test_of_several_trials_each_draws_from_its_own_and_one_without_a_generator_keeps_all(way: bool) -> None:
    like = torch.empty(3, 16, 5)
    mine = [seeded(0), None, seeded(2)]
    found = draw_kept(like, [0.2, 1.0, 0.7], mine)
    assert torch.equal(found[0], drawn(like[0], 0.2, seeded(0)))
    assert torch.equal(found[1], torch.ones(16, 5))
    assert torch.equal(found[2], drawn(like[2], 0.7, seeded(2)))
