"""Training steps as CUDA graphs: a step is some sixty small kernels, and launching them costs more than they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import torch

from trainables.lanes.feed import Batch
from trainables.lanes.network import StepVariant

Step: TypeAlias = Callable[[Batch, StepVariant], None]

WARM_UP_STEPS = 3
"""Before a capture, as the PyTorch manual asks: libraries set up their workspaces in the first calls."""


def graphed(device: torch.device) -> bool:
    """Say whether steps on ``device`` run as graphs."""
    return device.type == "cuda"


class StepGraphs:
    """Runs a step through a graph for each batch size and set of variant, captured when first needed.

    A seat or a retirement overwrites the tensors that the graphs read; nothing is captured again. The step is
    given with each call and not kept: a stack that held itself that way would outlive its last trial.

    Args:
        changed: the tensors that a step changes, to be put back after the warm-up.
    """

    def __init__(self, changed: Sequence[torch.Tensor]) -> None:
        self._changed = changed
        self._captured: dict[tuple[int, StepVariant], tuple[Batch, torch.cuda.CUDAGraph]] = {}

    def __call__(self, step: Step, batch: Batch, variant: StepVariant) -> None:
        """Train ``batch`` by ``step``, which works in place on tensors that stay, or by its graph."""
        key = (batch.size, variant)
        if key not in self._captured:
            self._captured[key] = self._capture(step, batch, variant)
        static, graph = self._captured[key]
        for mine, theirs in zip(static.tensors, batch.tensors, strict=True):
            mine.copy_(theirs)
        graph.replay()

    def _capture(self, step: Step, batch: Batch, variant: StepVariant) -> tuple[Batch, torch.cuda.CUDAGraph]:
        static = batch.clone()
        before = [tensor.clone() for tensor in self._changed]
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_STEPS):
                step(static, variant)
        torch.cuda.current_stream().wait_stream(side)
        for tensor, value in zip(self._changed, before, strict=True):
            tensor.copy_(value)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step(static, variant)
        return static, graph
