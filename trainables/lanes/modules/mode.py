"""What torch's functions do inside a stack: each lane's own draws, lifted floats, and what has no batching rule."""

from __future__ import annotations

import inspect
import math
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from trainables.errors import CannotStackError
from trainables.lanes.modules.functorch import is_wrapped, outside, unwrapped, wrapped
from trainables.lanes.modules.lifted import Lifted, has_lifted, lane_values
from trainables.own_draws import IN_PLACE, NEW_TENSORS, OwnDraws, draw_kept

Func = Callable[..., Any]
Args = tuple[Any, ...]
Named = dict[str, Any]


class LaneMode(TorchFunctionMode):
    """Active while a module's forward runs over the lanes.

    Args:
        lanes: L.

    Attributes:
        generators: what each lane's trial draws from; None for an empty lane, which draws nothing.
        spare: what an empty lane draws from where it has to.
        drawing: the generator of the lane for which alone a function is called at the moment; None where it is for all.
        level: of ``functorch.over_lanes``.
        lifts: whether some attribute differs from lane to lane.
    """

    def __init__(self, lanes: int) -> None:
        super().__init__()
        self.lanes = lanes
        self.generators: list[torch.Generator | None] = [None] * lanes
        self.spare = torch.Generator()
        self.drawing: torch.Generator | None = None
        self.level = 0
        self.lifts = False

    def __torch_function__(
        self, func: Func, types: Any, args: Args = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call ``func`` for all lanes at once, or one after another where that is all that there is."""
        how = HANDLERS.get(func)
        named = dict(kwargs or {})
        if isinstance(named.get("out"), torch.Tensor):  # no batching rule takes it
            out = named.pop("out")
            return out.copy_(self.__torch_function__(func, types, args, named))
        if how is not None:
            return how(self, func, args, named)
        if self.lifts and (has_lifted(args) or has_lifted(named)):
            return use_lifted(self, func, args, named)
        return func(*args, **named)

    @property
    def drawn_from(self) -> list[torch.Generator]:
        """All generators that a forward may draw from."""
        return [*(generator for generator in self.generators if generator is not None), self.spare]

    def stack(self, parts: Sequence[Any]) -> Any:
        """Return what all lanes' results are inside of the level."""
        if isinstance(parts[0], torch.Tensor):
            return wrapped(torch.stack(list(parts)), self.level)
        return tuple(wrapped(torch.stack(list(part)), self.level) for part in zip(*parts, strict=True))

    def tensor(self, value: float, like: torch.Tensor) -> torch.Tensor:
        """Return a float of each lane as a tensor without axes."""
        values = torch.tensor(lane_values(value, self.lanes), dtype=like.dtype, device=like.device)
        return wrapped(values, self.level)


def of_lane(tree: Any, lane: int) -> Any:
    """Return the arguments of one lane, outside of the level."""
    if isinstance(tree, torch.Tensor):
        return unwrapped(tree)[lane] if is_wrapped(tree) else tree
    if isinstance(tree, Lifted):
        return tree.values[lane]
    if isinstance(tree, torch.Size):
        return tree
    if isinstance(tree, tuple | list):
        return type(tree)([of_lane(part, lane) for part in tree])
    if isinstance(tree, dict):
        return {key: of_lane(part, lane) for key, part in tree.items()}
    return tree


def each_lane(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Call a function once a lane, as the plain loop does: also what it draws comes from the lane's generator."""
    found = []
    with outside():
        for lane, generator in enumerate(mode.generators):
            mode.drawing = generator or mode.spare
            with OwnDraws(mode.drawing):
                found.append(func(*of_lane(args, lane), **of_lane(named, lane)))
        mode.drawing = None
        return mode.stack(found)


def draw(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Draw new random numbers in each lane."""
    if named.get("generator") is not None:
        raise CannotStackError(f"it calls {func.__name__} with a generator of its own")
    return each_lane(mode, func, args, named)


def draw_in_place(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Fill a tensor with random numbers in each lane."""
    x, *rest = args
    if named.get("generator") is not None or not is_wrapped(x):
        raise CannotStackError(f"it calls {func.__name__} with a generator of its own, or on what all trials share")
    shape, kind = tuple(x.shape), {"dtype": x.dtype, "device": x.device}
    with outside():
        filled = torch.zeros(mode.lanes, *shape, **kind)
        for lane, generator in enumerate(mode.generators):
            if generator is not None:
                func(filled[lane], *of_lane(tuple(rest), lane), **of_lane(named, lane), generator=generator)
        filled = wrapped(filled, mode.level)
    return x.copy_(filled)


def drop_units(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Drop units of each lane at its own rate; one mask of all lanes, of which each lane draws its part."""
    a = dict(zip(_DROPOUT[func], args, strict=False)) | named
    x, training = a["input"], a.get("training", a.get("train", True))
    rates = lane_values(a.get("p", 0.5), mode.lanes)
    if not training or not any(rates):
        return x
    if not is_wrapped(x) or max(rates) >= 1:
        return each_lane(mode, func, args, named)
    with outside():
        hidden = unwrapped(x)
        drawing = [None if p == 0 else generator for p, generator in zip(rates, mode.generators, strict=True)]
        kept = [1.0 if generator is None else 1 - p for p, generator in zip(rates, drawing, strict=True)]
        noise = draw_kept(hidden, kept, drawing)
        noise.div_(torch.tensor(kept, dtype=hidden.dtype).view(-1, *(1 for _ in hidden.shape[1:])))
        noise = wrapped(noise, mode.level)
    return x.mul_(noise) if a.get("inplace", False) else x * noise


def use_lifted(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Use a float of each lane: as a tensor in arithmetic, else once a lane."""
    like = next((a for a in args if isinstance(a, torch.Tensor)), None)
    if getattr(func, "__name__", "") in _ARITHMETIC and like is not None and like.is_floating_point():
        return func(*(mode.tensor(a, like) if isinstance(a, Lifted) else a for a in args), **named)
    return each_lane(mode, func, args, named)


def make_tensor(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Make a tensor of constants, one a lane, as code may write into it."""
    if has_lifted(args) or has_lifted(named):
        return each_lane(mode, func, args, named)
    found = func(*args, **named)
    if is_wrapped(found):
        return found
    with outside():
        found = found.expand(mode.lanes, *found.shape).clone()
        return wrapped(found, mode.level)


def multiply(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Linear layer: one product of all lanes; the rule of batching would take it apart."""
    a = dict(zip(("input", "weight", "bias"), args, strict=False)) | named
    x, weight, bias = a["input"], a["weight"], a.get("bias")
    if not (is_wrapped(x) and is_wrapped(weight) and x.ndim > 1 and (bias is None or is_wrapped(bias))):
        return func(*args, **named)
    x, weight, bias = unwrapped(x), unwrapped(weight), None if bias is None else unwrapped(bias)
    with outside():
        rows, across = x.flatten(1, -2), weight.transpose(1, 2)
        found = torch.bmm(rows, across) if bias is None else torch.baddbmm(bias.unsqueeze(1), rows, across)
        return wrapped(found.view(*x.shape[:-1], -1), mode.level)


def normalise_layer(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Layer norm: of all lanes at once, then each with its own scale and shift."""
    a = dict(zip(_LAYER_NORM, args, strict=False)) | named
    x, scale, shift, eps = a["input"], a.get("weight"), a.get("bias"), a.get("eps", 1e-5)
    if isinstance(eps, Lifted) or scale is None or shift is None or not all(map(is_wrapped, (x, scale, shift))):
        return use_lifted(mode, func, args, named) if isinstance(eps, Lifted) else func(*args, **named)
    x, scale, shift = unwrapped(x), unwrapped(scale), unwrapped(shift)
    with outside():
        axes = (1,) * (x.ndim - scale.ndim)
        scale, shift = (t.view(len(t), *axes, *t.shape[1:]) for t in (scale, shift))
        found = torch.addcmul(shift, F.layer_norm(x, a["normalized_shape"], eps=eps), scale)
        return wrapped(found, mode.level)


def normalise(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Batch norm, whose momentum may differ; a lane's running statistics move by its own."""
    a = dict(zip(_BATCH_NORM, args, strict=False)) | named
    momentum = a.get("momentum", 0.1)
    if isinstance(a.get("eps"), Lifted):
        raise CannotStackError("its batch norms differ in eps")
    if not isinstance(momentum, Lifted):
        return func(*args, **named)
    x, training = a["input"], a.get("training", False)
    if not training or a.get("running_mean") is None:
        return func(**(a | {"momentum": 0.0}))
    y = func(**(a | {"running_mean": None, "running_var": None, "momentum": 0.0}))
    axes = [axis for axis in range(x.ndim) if axis != 1]
    n = math.prod(x.shape[axis] for axis in axes)
    with torch.no_grad():
        variance, mean = torch.var_mean(x.detach(), axes, correction=0)
        share = mode.tensor(momentum, x)
        a["running_mean"].mul_(1 - share).add_(mean * share)
        a["running_var"].mul_(1 - share).add_(variance * (n / (n - 1)) * share)
    return y


def attend(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Attention: as one of L * B examples where nothing is dropped, else as torch's own plain path is written."""
    a = dict(zip(_ATTENTION, args, strict=False)) | named
    p, query, key, value, mask = a.get("dropout_p", 0.0), a["query"], a["key"], a["value"], a.get("attn_mask")
    if not any(lane_values(p, mode.lanes)):
        if mask is not None or not all(is_wrapped(t) and t.ndim == 4 for t in (query, key, value)):
            return func(*args, **named)
        parts = [unwrapped(t) for t in (query, key, value)]
        with outside():
            options = {name: a[name] for name in ("is_causal", "scale", "enable_gqa") if name in a}
            found = func(*(t.flatten(0, 1) for t in parts), **options).unflatten(0, parts[0].shape[:2])
            return wrapped(found, mode.level)
    if a.get("enable_gqa"):
        raise CannotStackError("its attention drops and groups its queries")
    scale = math.sqrt(a.get("scale") or 1 / math.sqrt(query.shape[-1]))
    scores = (query * scale) @ (key * scale).transpose(-2, -1)
    if a.get("is_causal"):
        mask = torch.ones(query.shape[-2], key.shape[-2], dtype=torch.bool, device=query.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return drop_units(mode, F.dropout, (torch.softmax(scores, -1), p), {}) @ value


def set_items(mode: LaneMode, func: Func, args: Args, named: Named) -> Any:
    """Write into a tensor; where a mask says where, by filling."""
    x, index, value = args
    value = mode.tensor(value, x) if isinstance(value, Lifted) else value
    masks = isinstance(index, torch.Tensor) and index.dtype == torch.bool and index.shape == x.shape
    if masks and not (isinstance(value, torch.Tensor) and value.ndim):
        return x.masked_fill_(index, value)
    return func(x, index, value)


def enter(func: Any) -> Func:
    """Return what calls the body of one of torch's Python functions, so that its inner calls are handled too."""
    never = {name: lambda *_: False for name in func.__globals__ if name.startswith("has_torch_function")}
    scope = {**func.__globals__, **never}
    body = types.FunctionType(func.__code__, scope, func.__name__, func.__defaults__, func.__closure__)
    body.__kwdefaults__ = func.__kwdefaults__

    def call(mode: LaneMode, _: Func, args: Args, named: Named) -> Any:
        with mode:
            return body(*args, **named)

    return call


_DROPOUT: dict[Func, tuple[str, ...]] = {
    F.dropout: ("input", "p", "training", "inplace"),
    torch.dropout: ("input", "p", "train"),
}
_BATCH_NORM = tuple(inspect.signature(F.batch_norm).parameters)
_LAYER_NORM = tuple(inspect.signature(F.layer_norm).parameters)
_ATTENTION = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
_WORDS = ("add", "sub", "mul", "div", "true_divide", "pow", "maximum", "minimum", "subtract", "multiply", "divide")
_ARITHMETIC = {
    *(form for word in _WORDS for form in (word, f"{word}_", f"__{word}__", f"__i{word}__", f"__r{word}__")),
    *(f"__{r}{word}__" for word in ("truediv", "gt", "ge", "lt", "le", "eq", "ne") for r in ("", "i", "r")),
    "gt", "ge", "lt", "le", "masked_fill", "where", "rsub",
}  # fmt: skip
_FACTORIES = (
    torch.zeros, torch.ones, torch.empty, torch.full, torch.zeros_like, torch.ones_like, torch.full_like,
    torch.empty_like, torch.Tensor.new_zeros, torch.Tensor.new_ones, torch.Tensor.new_full, torch.Tensor.new_empty,
)  # fmt: skip
_ONE_BY_ONE = (
    torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu, torch.lstm_cell, torch.gru_cell, torch.rnn_tanh_cell,
    torch.rnn_relu_cell, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout, F.rrelu,
    torch.poisson, torch.binomial, torch._standard_gamma, torch._sample_dirichlet,
)  # fmt: skip

HANDLERS: dict[Func, Func] = {
    **dict.fromkeys(NEW_TENSORS, draw),
    **dict.fromkeys(IN_PLACE, draw_in_place),
    **dict.fromkeys(_DROPOUT, drop_units),
    **dict.fromkeys(_FACTORIES, make_tensor),
    **dict.fromkeys(_ONE_BY_ONE, each_lane),
    F.linear: multiply,
    F.layer_norm: normalise_layer,
    F.batch_norm: normalise,
    F.scaled_dot_product_attention: attend,
    torch.Tensor.__setitem__: set_items,
    **{func: enter(func) for func in (F.multi_head_attention_forward, F.gumbel_softmax)},
}
