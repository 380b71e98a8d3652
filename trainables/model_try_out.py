"""Tries a user's model out on a few examples, before any trial starts: all that a trial does, once, and small."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from trainables import safe_pickle
from trainables.derive import derive
from trainables.device_data import DeviceData
from trainables.errors import ConfigError
from trainables.lanes.draws import why_in_turn
from trainables.model_build import ModelConfig, build_model, model_run
from trainables.model_output import describe_output, logits_of
from trainables.models import penalised_weights
from trainables.notice import Notice, TryOut
from trainables.params_read import Lookups, Reads
from trainables.torch_stream import StreamedRun, TorchStream
from trainables.user_code import error_line, place_in_user_code, user_sources

if TYPE_CHECKING:
    from torch import nn

    from trainables.data import Splits
    from trainables.model_function import ModelFunction

EXAMPLES_TRIED = 2
"""How many examples a model is tried with in evaluation."""

EXAMPLES_TRAINED = 4
"""How many it is trained on."""

READING_S = 5.0
"""Seconds in which further configurations are built, to see which parameters they read."""

MOST_FAILURES = 3
"""Errors of such configurations that are said."""

CPU = torch.device("cpu")


def few_examples(splits: Splits) -> Splits:
    """Return the few of the examples that a model is tried with."""
    train, val = splits.train.first(EXAMPLES_TRAINED), splits.val.first(EXAMPLES_TRIED)
    return replace(splits, train=train, val=val, extra_metrics=(), folds=())


def try_model(
    function: Callable[[], ModelFunction],
    configs: Sequence[ModelConfig],
    splits: Splits,
    *,
    who: str,
    signature: str,
    driving: frozenset[str],
) -> TryOut:
    """Try the first of ``configs`` out, and look at the others.

    Args:
        function: finds the user's function.
        configs: that of the baseline, then others.
        splits: ``few_examples``.
        who: what each message begins with.
        signature: the function's, for a message.
        driving: the parameters that the training loop reads.
    """
    return _ModelTryOut(function, splits, who, signature).of(configs, driving)


class _ModelTryOut:
    def __init__(self, function: Callable[[], ModelFunction], splits: Splits, who: str, signature: str) -> None:
        self._function, self._splits, self._who, self._signature = function, splits, who, signature
        self._shape, self._outputs = splits.shape, splits.outputs
        self._reads = Reads()
        self._errors: list[str] = []
        self._notices: list[Notice] = []

    def of(self, configs: Sequence[ModelConfig], driving: frozenset[str]) -> TryOut:
        self._reads.read |= driving
        try:
            self._try_first(configs)
        except ConfigError as error:
            self._errors += error.errors
        unread: Sequence[str] = ()
        if not self._errors:
            unread = self._unread(configs)
        sought = sorted(map(str, self._reads.sought))
        return TryOut(tuple(self._errors), tuple(self._notices), tuple(unread), tuple(sought))

    def _try_first(self, configs: Sequence[ModelConfig]) -> None:
        """Build the first, evaluate it, train it, and keep and restore its state."""
        with self._random_numbers():
            model, again = (self._built(configs[0]) for _ in range(2))
            self._check_outputs(model)
        self._check_parameters(model, again)
        if not penalised_weights(model) and any(config.training.l1_penalty for config in configs):
            self._error("l1_penalty has nothing to penalise: its module has no linear layer and no convolution")
        if not self._errors:
            self._train(configs[0], model, again)

    @contextmanager
    def _random_numbers(self) -> Iterator[None]:
        with TorchStream(derive(0, "weights"), CPU).as_global_rng():
            yield

    def _error(self, text: str) -> None:
        self._errors.append(f"{self._who}: {text}")

    def _built(self, config: ModelConfig) -> nn.Module:
        try:
            params = self._reads.of(config.params)
            return build_model(self._function(), params, self._shape, self._outputs, who=self._who)
        except ConfigError:
            raise
        except BaseException as error:  # in a process of its own: nothing else is to be stopped here
            line = f"{self._who} raised {error_line(error)}"
            if isinstance(error, KeyError):
                line += f"; params holds {', '.join(config.params)}"
            elif isinstance(error, TypeError) and place_in_user_code(error) is None:
                line += f"; expected {self._signature}"
            raise ConfigError(line) from None

    def _check_outputs(self, model: nn.Module) -> None:
        """Evaluate two examples, and say what is wrong with what comes of them, and where the logits were."""
        examples = torch.tensor(self._splits.train.x[:EXAMPLES_TRIED])
        given = f"given {len(examples)} examples {list(examples.shape)}"
        model.eval()
        asked = self._explained(f"its module, given examples {list(examples.shape)},")
        with asked, torch.no_grad(), self._watched(model, "in evaluation") as seen:
            found = model(examples)
        if not isinstance(found, torch.Tensor):
            self._error(f"its module, {given}, returned {describe_output(found)}, expected a tensor, or one as logits")
        elif found.shape != (len(examples), self._outputs):
            expected = f"expected [{len(examples)}, {self._outputs}]: [B, outputs]"
            where = f" ({seen[0]})" if seen else ""
            self._error(f"its module, {given}, returned {list(found.shape)}{where}, {expected}")
        elif not found.is_floating_point():
            self._error(f"its module returned {found.dtype}, expected floating point numbers")

    @contextmanager
    def _watched(self, model: nn.Module, when: str) -> Iterator[list[str]]:
        """Collect, and say, where the logits were in what ``model`` returned, as its own hook takes them out of it."""
        seen: list[str] = []

        def look(module: nn.Module, inputs: tuple[Any, ...], found: Any) -> None:
            where = logits_of(found)[1]
            if where is not None:
                seen.append(where)

        if isinstance(model, torch.jit.ScriptModule):  # which takes no hooks
            yield seen
            return
        hook = model.register_forward_hook(look, prepend=True)
        try:
            yield seen
        finally:
            hook.remove()
        if seen:
            text = f"{self._who}: its module returns more than a tensor {when}; what counts is {seen[0]}"
            self._notices.append(Notice("model_output", text))

    @contextmanager
    def _explained(self, what: str) -> Iterator[None]:
        """Make one line of whatever is raised inside."""
        try:
            yield
        except ConfigError:
            raise
        except BaseException as error:
            raise ConfigError(f"{self._who}: {what} raised {error_line(error)}") from None

    def _check_parameters(self, model: nn.Module, again: nn.Module) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        if not parameters:
            self._errors.append(
                f"{self._who} returned a module without trainable parameters: there is nothing to train"
            )
        elif {id(p) for p in parameters} & {id(p) for p in again.parameters()}:
            self._errors.append(f"{self._who} returned the same parameters twice; each call must build a new module")

    def _train(self, config: ModelConfig, model: nn.Module, again: nn.Module) -> None:
        """Train an epoch of a few examples as a trial does, and restore what a checkpoint keeps in another run."""
        run, other = (self._run(config, m) for m in (model, again))
        what = f"its module, in training on {len(self._splits.train)} examples,"
        with self._explained(what), self._watched(model, "in training"):
            loss = run.step().metrics["train_loss"]
        if loss != loss or abs(loss) == float("inf"):
            text = f"{self._who}: its loss on the first {len(self._splits.train)} examples, before any step, is {loss}"
            self._notices.append(Notice("model_loss", text, warning=True))
        state = self._state(run)
        with self._explained("its state, read back by a new module of the same params,"):
            other.load_state_dict(state)
        self._compare(model, again)
        self._look_at_draws(config)

    def _look_at_draws(self, config: ModelConfig) -> None:
        """Say what it draws from that a trial's seed does not decide, or that trials of a process cannot share."""

        def start(config: ModelConfig, data: DeviceData, *, seed: int, device: torch.device) -> StreamedRun:
            with self._random_numbers():
                model = self._built(config)
            return model_run(config, model, data, seed=seed, device=device)

        with self._explained("its module, tried out once more,"):
            reason = why_in_turn(start, config, DeviceData.of(self._splits, CPU), device=CPU)
        if reason:
            text = f"{self._who}: in lanes trials train one after another (on a core each: --executor tune): {reason}"
            if "global generator of" in reason:
                text += ", and which the trial's seed does not set"
            if "seed does not set" in text:
                text += "; its curves do not repeat"
            self._notices.append(Notice("model_draws", text, warning=True))

    def _run(self, config: ModelConfig, model: nn.Module) -> StreamedRun:
        return model_run(config, model, DeviceData.of(self._splits, CPU), seed=0, device=CPU)

    def _state(self, run: StreamedRun) -> dict[str, Any]:
        """Return what a checkpoint would keep of ``run``, as it is read back."""
        with self._explained("its state_dict()"):
            state = run.state_dict()
            held = dict(state["model"])
        if not held:
            raise ConfigError(f"{self._who}: its state_dict() is empty, so that nothing of it could be kept")
        lost = safe_pickle.unreadable(state)
        if lost:
            shown = "; ".join(lost[:3]) + (" ..." if len(lost) > 3 else "")
            raise ConfigError(
                f"{self._who}: its state cannot be read back from a checkpoint: {shown}; keep plain data, tensors, "
                "NumPy arrays, dates, paths"
            )
        packed = io.BytesIO()
        safe_pickle.write(state, packed)
        packed.seek(0)
        found: dict[str, Any] = safe_pickle.read(packed)
        return found

    def _compare(self, model: nn.Module, restored: nn.Module) -> None:
        """Say where a model that was restored is another: its state does not hold all that it depends on."""
        examples = torch.tensor(self._splits.train.x[:EXAMPLES_TRIED])
        found = []
        for each in (model, restored):
            each.eval()
            with self._explained("its module, after training,"), self._random_numbers(), torch.no_grad():
                found.append(each(examples))
        if not torch.allclose(found[0], found[1], equal_nan=True):
            text = (
                f"{self._who}: restored from its state_dict(), it gives other outputs: it depends on what is not in "
                "there, or draws random numbers that are not torch's"
            )
            self._notices.append(Notice("model_state", text, warning=True))

    def _unread(self, configs: Sequence[ModelConfig]) -> list[str]:
        """Return the names that nothing reads, whichever of ``configs`` the model is built of.

        A name that the user's own code looks up, under values that were not tried, is a notice.
        """
        self._reads.given.update(*(config.params for config in configs))
        until, tried = time.monotonic() + READING_S, 1
        failed: dict[str, ModelConfig] = {}
        for config in configs[1:]:
            if not self._reads.unread or time.monotonic() > until:
                break
            tried += 1
            if (line := self._read(config)) is not None:
                failed.setdefault(line, config)
        for line, config in list(failed.items())[:MOST_FAILURES]:
            chosen = ", ".join(f"{name}={value}" for name, value in config.params.items())
            self._notices.append(Notice("model_error", f"{line}, with {chosen}", warning=True))
        unread, looked_up = self._reads.unread, Lookups(user_sources(getattr(self._function(), "__module__", "")))
        in_doubt = [name for name in unread if looked_up.have(name) or tried < len(configs)]
        for name in in_doubt:
            text = f"{self._who} reads {name} in none of {tried} configurations that were tried: it may move nothing"
            self._notices.append(Notice("unread_parameter", text, 1, (name,), warning=True))
        return [name for name in unread if name not in in_doubt]

    def _read(self, config: ModelConfig) -> str | None:
        """Build and evaluate ``config``, to see what it reads; return what it raised, which its trials would meet."""
        try:
            with self._random_numbers(), torch.no_grad():
                self._built(config).eval()(torch.tensor(self._splits.train.x[:EXAMPLES_TRIED]))
        except BaseException as error:
            return error.errors[0] if isinstance(error, ConfigError) else f"{self._who} raised {error_line(error)}"
        return None
