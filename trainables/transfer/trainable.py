"""The transfer as an executor sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainables.errors import ConfigError, DataError
from trainables.metrics import METRICS
from trainables.notice import TryOut
from trainables.task import Task
from trainables.transfer.config import SOURCE, TransferConfig

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trainables.config import MlpConfig
    from trainables.data import Splits
    from trainables.device_data import DeviceData
    from trainables.protocols import Run


class TransferTrainable:
    """A pretrained backbone, frozen to some depth, with a new head; see ``TransferConfig``.

    Trials of which every stage is frozen are linear models on cached features, and stack.
    """

    stacks = True
    loops = True
    metrics: tuple[str, ...] = tuple(METRICS)

    def configure(self, params: Mapping[str, Any], *, max_epochs: int) -> TransferConfig:
        """Return the validated configuration of a trial."""
        return TransferConfig.from_params(params, max_epochs=max_epochs)

    def misfits(self, config: TransferConfig, splits: Splits) -> list[str]:
        """Return why a trial of ``config`` cannot train on ``splits``."""
        if splits.task is not Task.CLASSIFICATION or len(splits.shape) != 3 or splits.train.x.dtype.kind != "u":
            found = f"{splits.name} is a {splits.task.value} of {splits.train.x.dtype} {list(splits.shape)}"
            return [f"a transfer needs classes of images as bytes (data.pixels); {found}"]
        from trainables.transfer.backbones import check_name, fixed_image, smallest_image, stage_names

        try:
            check_name(config.backbone)
        except ConfigError as error:
            return list(error.errors)
        errors = []
        names = stage_names(config.backbone)
        if config.freeze_depth > len(names):
            errors.append(
                f"freeze_depth {config.freeze_depth} is beyond the {len(names)} stages of {config.backbone}: "
                f"{', '.join(names)}; use --set freeze_depth.high={len(names)}"
            )
        size, fewest, only = self._seen(config, splits), smallest_image(config.backbone), fixed_image(config.backbone)
        if size is not None and only not in (None, size):
            errors.append(f"{config.backbone} takes images of {only} pixels alone, got {size}; use --image-size {only}")
        elif size is not None and size < fewest:
            needed = f"{config.backbone} needs images of at least {fewest} pixels"
            errors.append(f"{needed}, got {size}; use --image-size {fewest} or more")
        return errors

    def try_out(self, configs: Sequence[TransferConfig], splits: Splits) -> TryOut:
        """Look for the weights, and return what is wrong with them; nothing is learned yet."""
        from trainables.transfer.initial_weights import load_weights, with_chosen_weights
        from trainables.transfer.source import source_spec

        config = with_chosen_weights(configs[0], splits)
        try:
            if config.weights != SOURCE:
                return TryOut(notices=load_weights(config, splits, lambda line: None).notices)
            from trainables.data import load_splits

            assert splits.spec is not None, "load_splits says what it loaded"
            source = load_splits(source_spec(config, splits.spec))
            return TryOut(
                tuple(f"weights source: {line}" for line in self.misfits(config, source)),
                tuple(dataclasses.replace(n, text=f"weights source: {n.text}") for n in source.notices if n.warning),
            )
        except (ConfigError, DataError) as error:
            return TryOut(tuple(error.errors))

    def prepare_once(self, config: TransferConfig, splits: Splits, say: Callable[[str], None]) -> dict[str, Any]:
        """Learn weights where that is asked for, say what is used, and return facts for the ledger."""
        import torch

        from trainables.transfer.shared_backbone import SharedBackbone

        shared = SharedBackbone.load(config, splits, torch.device("cpu"), say)
        names = shared.backbone.stage_names
        say(f"backbone {config.backbone}: {shared.weights.origin}; stages {', '.join(names)}")
        if splits.spec is not None and splits.spec.source == "images":
            height, width = shared.cache.images.example.shape[2:]
            say(f"the backbone sees your images at {height} x {width} pixels; --image-size N for another size")
        if splits.shape[0] == 1:
            say("images are grey: their channel stands for red, green and blue")
        for line in cache_lines(config, shared):
            say(line)
        return {"stages": list(names), "weights": shared.weights.sha256}

    def prepare(self, splits: Splits, device: torch.device) -> Any:
        """Return the images; weights and features come with the first trial."""
        from trainables.transfer.shared_backbone import TransferData

        return TransferData(splits, device)

    def start(self, config: TransferConfig, data: Any, *, seed: int, device: torch.device) -> Run:
        """Return a trial at epoch 0."""
        from trainables.transfer.run import TransferRun

        return TransferRun(config, data, seed=seed, device=device)

    def is_thread_safe(self, config: TransferConfig) -> bool:
        """Say whether several trials may train at a time in threads of one process."""
        from trainables.transfer.backbones import draws_random_numbers

        return not draws_random_numbers(config.backbone)

    def stackable_form(self, config: TransferConfig, data: Any) -> tuple[MlpConfig, DeviceData] | None:
        """Return the linear model on features that a trial amounts to whose backbone is frozen whole."""
        from trainables.transfer.run import linear_form

        return linear_form(config, data)

    def full_state(
        self, config: TransferConfig, data: Any, state: Mapping[str, torch.Tensor]
    ) -> Mapping[str, torch.Tensor]:
        """Return the state of the whole network from that of such a linear model; one that is whole as it is."""
        from trainables.transfer.run import full_state_of

        return full_state_of(config, data, state)

    def rebuild(
        self, config: TransferConfig, state: Mapping[str, torch.Tensor], *, shape: tuple[int, ...], outputs: int
    ) -> nn.Module:
        """Return the whole network with the weights ``state``, on CPU: bytes to logits."""
        import torch

        from trainables.models import Mlp
        from trainables.transfer.backbones import build_backbone
        from trainables.transfer.network import FullNetwork
        from trainables.transfer.preprocessing import Preprocessing

        backbone = build_backbone(config.backbone)
        head = Mlp(config.training, backbone.features, outputs, seed=0, device=torch.device("cpu"))
        network = FullNetwork(Preprocessing.of_state(state), backbone.stages, head)
        network.load_state_dict(dict(state))
        return network

    def _seen(self, config: TransferConfig, splits: Splits) -> int | None:
        """Return the height and width that the backbone will see; None where its weights' own size is used."""
        from trainables.transfer.config import CIFAR10, IMAGENET
        from trainables.transfer.initial_weights import with_chosen_weights
        from trainables.transfer.shipped_weights import shipped_size

        config = with_chosen_weights(config, splits)
        if config.weights == CIFAR10:
            return shipped_size(config, splits)
        return config.input_size or (None if config.weights == IMAGENET else min(splits.shape[1:]))


def cache_lines(config: TransferConfig, shared: Any) -> list[str]:
    """Return what a user should know of the feature cache, a line each."""
    from trainables.transfer.feature_cache import MIB

    if config.feature_cache == "off":
        return ["feature cache off: frozen stages are computed anew in every epoch"]
    needs = [shared.cache.bytes_at("none", depth) / MIB for depth in range(1, shared.depths + 1)]
    lines = [
        f"feature cache up to {config.cache_mb:g} MiB; without augmentation depth "
        + ", ".join(f"{depth} takes {need:.1f} MiB" for depth, need in enumerate(needs, start=1))
        + f"; augmented images: {config.views} fixed views, each epoch trains on one of them"
    ]
    above = [str(depth) for depth, need in enumerate(needs, start=1) if need > config.cache_mb]
    if above:
        lines.append(
            f"the limit of {config.cache_mb:g} MiB (--set cache_mb) is below the need of depth {', '.join(above)}: "
            "slower, as these trials compute frozen stages anew in every epoch"
        )
    return lines
