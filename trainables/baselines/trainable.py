"""The trainable whose parameter ``model`` chooses among the estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainables.baselines.config import EstimatorConfig
from trainables.metrics import METRICS
from trainables.notice import TryOut, notice_of
from trainables.task import Task

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.data import Splits
    from trainables.protocols import Run


class EstimatorTrainable:
    """One of scikit-learn's estimators, or torch's MLP.

    An estimator reports one epoch, its fit; torch's MLP one for each of its own, up to ``max_epochs``, which
    is also what scikit-learn's MLP may train inside its fit.
    """

    stacks = False
    loops = True
    metrics: tuple[str, ...] = tuple(name for name in METRICS if name not in ("lr", "parameters"))

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> EstimatorConfig:
        """Return the validated configuration of a trial."""
        return EstimatorConfig.from_params(params, max_epochs=max_epochs)

    def misfits(self, config: EstimatorConfig, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``."""
        from trainables.baselines.estimators import smallest_class

        if splits.streamed:
            return [
                f"{splits.name} is streamed, and an estimator takes all examples at once; raise --memory-mb, "
                "--train-examples N uses fewer, or train a network"
            ]
        if config.model == "svm" and splits.task is Task.CLASSIFICATION and smallest_class(splits.train.y) < 2:
            return [
                "model=svm needs two training examples of each class, and one class has fewer; "
                "leave it out with --set model.choices="
            ]
        return []

    def try_out(self, configs: Sequence[EstimatorConfig], splits: Splits) -> TryOut:
        """Return which of the models leave the weights of examples unused; nothing is fitted."""
        if splits.train.weights is None or splits.streamed:
            return TryOut()
        from trainables.baselines.estimators import build_estimator, takes_weights

        x = splits.train.held.reshape(len(splits.train), -1)
        others = {c.model: c for c in configs if c.model != "torch_mlp"}
        unused = [
            name
            for name, config in others.items()
            if not takes_weights(build_estimator(config, x, splits.train.y, task=splits.task, seed=0))
        ]
        if not unused:
            return TryOut()
        text = f"weights are not used by model={', '.join(unused)}: scikit-learn's fit takes none there"
        return TryOut(notices=(notice_of("weights_unused", text, unused, warning=True),))

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the examples as arrays, and as tensors on ``device``."""
        from trainables.baselines.runs import EstimatorData

        return EstimatorData.of(splits, device)

    def start(self, config: EstimatorConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        from trainables.baselines.runs import FitRun, NetworkRun

        if config.model == "torch_mlp":
            return NetworkRun(config, data, seed=seed, device=device)
        return FitRun(config, data, seed=seed)

    def rebuild(
        self, config: EstimatorConfig, state: Mapping[str, Any], *, shape: tuple[int, ...], outputs: int
    ) -> nn.Module:
        """Return torch's MLP with the weights ``state``, or the estimator that it holds as a module.

        Raises:
            CheckpointError: there is no estimator in ``state``, or it is not one of ours.
        """
        if config.model == "torch_mlp":
            from trainables.models import rebuild_model

            return rebuild_model(config.network, state, shape)
        from trainables.baselines.kept import EstimatorModule, unpack_estimator

        estimator = unpack_estimator(state)
        return EstimatorModule(estimator, classes=outputs if hasattr(estimator, "classes_") else 0)
