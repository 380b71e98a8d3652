"""Random numbers that torch draws for one trial, from the trial's own generator, while others draw from theirs.

Torch's layers draw from one global generator of the process, so that trials whose models draw could only train in turn.
While ``OwnDraws`` is active in a thread, what torch draws there comes from a generator of the trial's own instead, bit
for bit as it would come from the global one in the same state.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

IN_PLACE = tuple(
    getattr(torch.Tensor, name)
    for name in (
        "bernoulli_", "uniform_", "normal_", "random_", "exponential_", "log_normal_", "geometric_", "cauchy_",
    )
)  # fmt: skip
"""Methods that fill a tensor, and take a generator."""

NEW_TENSORS = (
    torch.rand, torch.randn, torch.randint, torch.randperm, torch.normal, torch.bernoulli, torch.multinomial,
    torch.rand_like, torch.randn_like, torch.randint_like, torch.Tensor.bernoulli, torch.Tensor.multinomial,
)  # fmt: skip
"""Functions that return random tensors, and take a generator by name."""

INITIALISERS = (
    nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.xavier_uniform_, nn.init.xavier_normal_,
    nn.init.kaiming_uniform_, nn.init.kaiming_normal_, nn.init.orthogonal_, nn.init.sparse_,
)  # fmt: skip
"""Torch's initialisers, which take a generator by name."""

DROPOUTS: dict[Callable[..., Any], bool] = {F.dropout: True, torch.dropout: False}
"""Those that drop single units, and whether they may do so in place."""

_global_generator = threading.Lock()
"""Held while the process's global generator has the state of a trial's."""


def draw_kept(
    like: torch.Tensor, shares: Sequence[float], generators: Sequence[torch.Generator | None]
) -> torch.Tensor:
    """Return which units each of some trials keeps, as 1 and 0, bit for bit as ``bernoulli_`` draws them.

    Args:
        like: a tensor of that shape, of floats; of several trials their number is its first size.
        shares: which share of its units each trial keeps.
        generators: what each draws from; None keeps all, and draws nothing.
    """
    several = len(shares) > 1
    if not compares_uniforms():
        found = torch.empty_like(like)
        for part, share, generator in zip(found if several else [found], shares, generators, strict=True):
            part.fill_(1) if generator is None else part.bernoulli_(share, generator=generator)
        return found
    uniforms = torch.empty_like(like, dtype=torch.float64)
    for part, generator in zip(uniforms if several else [uniforms], generators, strict=True):
        part.fill_(-1) if generator is None else part.uniform_(generator=generator)
    if not several:
        return torch.empty_like(like).copy_(uniforms.lt_(shares[0]))
    column = torch.tensor(shares, dtype=torch.float64).view(-1, *(1 for _ in like.shape[1:]))
    return torch.empty_like(like).copy_(uniforms.lt_(column))


@functools.cache
def compares_uniforms() -> bool:
    """Say whether torch's ``bernoulli_`` compares uniform numbers of double precision on this machine.

    It does but on Intel's processors, where its own library draws. To draw these and compare all at once takes half the
    time.
    """
    generator, same = torch.Generator(), True
    for size, share in ((5, 0.3), (64, 0.65), (1000, 0.9)):
        generator.manual_seed(size)
        drawn = torch.empty(size).bernoulli_(share, generator=generator)
        state = generator.get_state()
        generator.manual_seed(size)
        uniforms = torch.empty(size, dtype=torch.float64).uniform_(generator=generator)
        same &= torch.equal(drawn, (uniforms < share).float()) and torch.equal(state, generator.get_state())
    return same


class OwnDraws(TorchFunctionMode):
    """While active, has torch draw from ``generator`` in this thread.

    Functions that take a generator are given it; dropout, the commonest of those that do not, is written out in
    torch's own operations. For the rest (attention, recurrent layers between their layers, ``rrelu`` ...) the global
    generator has the state of ``generator`` for as long as the function takes, one thread at a time. What draws in
    none of these ways (NumPy, ``random``, C++ code of another package) is not reached: see
    ``lanes.draws.why_in_turn``.

    Args:
        generator: of the CPU.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call ``func`` so that what it draws comes from the generator."""
        how = _HOW.get(func)
        return func(*args, **(kwargs or {})) if how is None else how(self, func, args, dict(kwargs or {}))

    def give_generator(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function that takes a generator; one that the model brings itself stays."""
        if kwargs.get("generator") is None:
            kwargs["generator"] = self._generator
        return func(*args, **kwargs)

    def drop_units(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Do what torch's dropout does on a CPU: the same operations, in the same order."""
        named = dict(zip(_PARAMETERS[func], args, strict=False)) | kwargs
        x, p, training = named["input"], named.get("p", 0.5), named.get("training", named.get("train", True))
        usual = isinstance(x, torch.Tensor) and x.device.type == "cpu" and x.is_floating_point()
        if not usual or not 0 < p < 1:
            return self.lend_generator(func, args, kwargs)
        if not training or not x.numel():
            return x
        noise = draw_kept(x, [1 - p], [self._generator]).div_(1 - p)
        return x.mul_(noise) if DROPOUTS[func] and named.get("inplace", False) else x * noise

    def lend_generator(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function that draws from the global generator, with the trial's state in its place."""
        with _global_generator:
            before = torch.get_rng_state()
            torch.set_rng_state(self._generator.get_state())
            try:
                return func(*args, **kwargs)
            finally:
                self._generator.set_state(torch.get_rng_state())
                torch.set_rng_state(before)

    def attend(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call an attention; it draws where it drops units alone."""
        named = dict(zip(_PARAMETERS[func], args, strict=False)) | kwargs
        draws = named.get("dropout_p", 0.0) > 0 and named.get("training", True)
        return self.lend_generator(func, args, kwargs) if draws else func(*args, **kwargs)

    def recur(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a recurrent layer; it draws where it drops units between several layers alone."""
        packed = len(args) == 9 and isinstance(args[1], torch.Tensor) and not isinstance(args[3], bool)
        layers, p, training = args[4 + packed : 7 + packed] if len(args) == 9 else (2, 0.5, True)
        draws = layers > 1 and p > 0 and training
        return self.lend_generator(func, args, kwargs) if draws else func(*args, **kwargs)


_PARAMETERS: dict[Callable[..., Any], tuple[str, ...]] = {
    F.dropout: tuple(inspect.signature(F.dropout).parameters),
    torch.dropout: ("input", "p", "train"),
    F.multi_head_attention_forward: tuple(inspect.signature(F.multi_head_attention_forward).parameters),
    F.scaled_dot_product_attention: ("query", "key", "value", "attn_mask", "dropout_p"),
}

_LENT: tuple[Callable[..., Any], ...] = (
    F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, torch.dropout_,
    torch.feature_dropout, torch.feature_dropout_, torch.alpha_dropout, torch.alpha_dropout_,
    torch.feature_alpha_dropout, torch.feature_alpha_dropout_, torch.native_dropout, F.rrelu, F.rrelu_, torch.rrelu,
    torch.rrelu_, F.gumbel_softmax, F.fractional_max_pool2d, F.fractional_max_pool2d_with_indices,
    F.fractional_max_pool3d, F.fractional_max_pool3d_with_indices, torch.poisson, torch.binomial,
    torch._standard_gamma, torch._sample_dirichlet,
)  # fmt: skip

_HOW: dict[Callable[..., Any], Callable[..., Any]] = {
    **dict.fromkeys((*IN_PLACE, *NEW_TENSORS, *INITIALISERS), OwnDraws.give_generator),
    **dict.fromkeys(DROPOUTS, OwnDraws.drop_units),
    **dict.fromkeys(_LENT, OwnDraws.lend_generator),
    **dict.fromkeys((F.multi_head_attention_forward, F.scaled_dot_product_attention), OwnDraws.attend),
    **dict.fromkeys((torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu), OwnDraws.recur),
}
