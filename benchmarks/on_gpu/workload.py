"""What is trained: MNIST's shape, an MLP and a CNN, and how much of it."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.peers.torch_trial import CHANNELS, HEAD, load, params_of
from trainables.config import CnnConfig, MlpConfig
from trainables.device_data import DeviceData

HIDDEN = (128, 64)
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@dataclass(frozen=True)
class Workload:
    """A model, and how much of it is trained by every side.

    Attributes:
        model: ``mlp`` or ``cnn``.
        train, val: N of each part.
        epochs: of each trial.
        lanes: trials in lanes, all at once.
        at_once: trials in processes, all at once.
        loader_workers: of each process's ``DataLoader``.
    """

    model: str
    train: int
    val: int
    epochs: int
    lanes: int
    at_once: int = 4
    loader_workers: int = 2

    def described(self) -> str:
        """Say what it is in a sentence."""
        layers = f"channels {'-'.join(map(str, CHANNELS))}, head {HEAD}"
        if self.model == "mlp":
            layers = f"hidden {'-'.join(map(str, HIDDEN))}"
        return (
            f"{self.model}, {layers}, batch 64, AdamW, half with batch norm; {self.train} training and "
            f"{self.val} validation examples, {self.epochs} epochs a trial, fp32"
        )


FULL = {
    "mlp": Workload("mlp", train=50_000, val=10_000, epochs=5, lanes=64),
    "cnn": Workload("cnn", train=10_000, val=2_000, epochs=5, lanes=16),
}
SMALL = {
    "mlp": Workload("mlp", train=200, val=100, epochs=2, lanes=4, at_once=2, loader_workers=1),
    "cnn": Workload("cnn", train=200, val=100, epochs=2, lanes=2, at_once=2, loader_workers=1),
}


def lane_config(model: str, number: int, *, epochs: int) -> MlpConfig:
    """Return in lanes the trial that ``params_of`` describes to the scripts."""
    params = params_of(number)
    if model == "cnn":
        return CnnConfig(max_epochs=epochs, channels=CHANNELS, hidden=(HEAD,), **params)
    return MlpConfig(max_epochs=epochs, hidden=HIDDEN, **params)


def device_data(path: Path, model: str, device: torch.device) -> DeviceData:
    """Return the file's tensors on the device, for lanes."""
    data = {name: tensor.to(device) for name, tensor in load(path, model).items()}
    return DeviceData(data["x_train"], data["y_train"], data["x_val"], data["y_val"], outputs=10)


def write_examples(path: Path, workload: Workload, folder: Path | None) -> None:
    """Write the tensors that every side reads: MNIST's own from ``folder``, or random ones of its shape.

    Which they are makes no difference to a time: no step depends on a pixel.
    """
    n = workload.train + workload.val
    if folder is None:
        rng = torch.Generator().manual_seed(0)
        x, y = torch.randn(n, 1, 28, 28, generator=rng), torch.randint(10, (n,), generator=rng)
    else:
        pixels = _read_idx(folder / IMAGES, 16).reshape(-1, 1, 28, 28)[:n]
        x = (torch.from_numpy(pixels.copy()).float() / 255 - 0.1307) / 0.3081
        y = torch.from_numpy(_read_idx(folder / LABELS, 8)[:n].copy()).long()
    k = workload.train
    torch.save({name: t.clone() for name, t in zip(_NAMES, (x[:k], y[:k], x[k:], y[k:]), strict=True)}, path)


_NAMES = ("x_train", "y_train", "x_val", "y_val")


def mnist_folder(folder: Path) -> Path:
    """Return where below ``folder`` MNIST's files lie: there, or in ``MNIST/raw`` as torchvision has them.

    Raises:
        FileNotFoundError: they do not.
    """
    for found in (folder, folder / "MNIST" / "raw"):
        if all((found / name).exists() or (found / f"{name}.gz").exists() for name in (IMAGES, LABELS)):
            return found
    raise FileNotFoundError(f"{folder} holds no {IMAGES} and {LABELS}, nor does its MNIST/raw (zipped or not)")


def _read_idx(path: Path, header_bytes: int) -> np.ndarray:
    content = path.read_bytes() if path.exists() else gzip.decompress(path.with_name(path.name + ".gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=header_bytes)
