"""What runs on a GPU, run on CPU: stacked optimisers, and steps through graphs, with CUDA's part played."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.trainables.lanes.cases import digits, lane_curves, stacked
from trainables.config import MlpConfig
from trainables.device_data import DeviceData
from trainables.lanes import graphs
from trainables.lanes.blueprint import Blueprint
from trainables.lanes.feed import Batch
from trainables.lanes.graphs import Step, StepGraphs
from trainables.lanes.network import StepVariant
from trainables.lanes.stack import Stack
from trainables.lanes.updates import stacked_update


class PlayedGraph:
    """Holds the step that was run while it was captured, and runs it again."""

    captured = 0
    replayed = 0

    def __init__(self) -> None:
        self.step: Callable[[], None] = lambda: None

    def replay(self) -> None:
        type(self).replayed += 1
        self.step()


recording: list[PlayedGraph] = []
"""The graph that is being captured, if any."""


class PlayedGraphs(StepGraphs):
    """As in CUDA, what runs inside ``torch.cuda.graph`` is recorded and not executed."""

    def __call__(self, step: Step, batch: Batch, variant: StepVariant) -> None:
        def recorded(batch: Batch, variant: StepVariant) -> None:
            if recording:
                PlayedGraph.captured += 1
                recording[-1].step = lambda: step(batch, variant)
            else:
                step(batch, variant)

        super().__call__(recorded, batch, variant)


class GpuStack(Stack):
    """A stack as on a GPU: its steps are graphs, its optimiser a few operations over all lanes."""

    def __init__(self, blueprint: Blueprint, data: DeviceData, **rest: Any) -> None:
        super().__init__(blueprint, data, **rest)
        self._update = stacked_update(self._bank, self._network.grads, optimizer=self.key.optimizer)
        self._graphs = PlayedGraphs((*self._bank.tensors, self._network.loss_sum, *self._update.counters))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> type[PlayedGraph]:
    """CUDA's part is played."""

    @contextmanager
    def capture(graph: PlayedGraph) -> Iterator[None]:
        recording.append(graph)
        yield
        recording.pop()

    stream = SimpleNamespace(wait_stream=lambda other: None)
    cuda = SimpleNamespace(
        Stream=lambda: stream,
        current_stream=lambda: stream,
        stream=lambda side: nullcontext(),
        CUDAGraph=PlayedGraph,
        graph=capture,
    )
    monkeypatch.setattr(graphs, "torch", SimpleNamespace(cuda=cuda))
    PlayedGraph.captured = PlayedGraph.replayed = 0
    return PlayedGraph


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_steps_through_graphs_give_the_same_curves(optimizer: str, played: type[PlayedGraph]) -> None:
    """Lanes are retired and refilled, schedules move the rates; the graphs stay."""
    trials = [
        (
            i,
            MlpConfig(
                max_epochs=2 + i,
                hidden=(8, 6),
                optimizer=optimizer,
                learning_rate=0.01,
                dropout=0.3,
                input_dropout=0.2 * (i > 2),
                label_smoothing=0.1 * (i > 2),
                batch_norm=i % 2 == 0,
                l1_penalty=1e-4,
                weight_decay=0.1 * i,
                schedule="step",
                step_size=1,
            ),
        )
        for i in range(5)
    ]
    found = lane_curves(stacked(digits(), 2, make_stack=GpuStack), trials)
    epochs = sum(len(reports) for reports in found.values())
    # two batch sizes; both, one or no trial with batch norm; and one trial may be left alone in the end
    assert 2 <= played.captured <= 8
    assert played.replayed >= 4 * epochs / 2
    expected = lane_curves(stacked(digits(), 2), trials)
    for number, reports in expected.items():
        for a, b in zip(found[number], reports, strict=True):
            # float32, 30 updates by another formula
            assert a.metrics["val_loss"] == pytest.approx(b.metrics["val_loss"], rel=1e-5)


def test_steps_are_graphs_on_cuda_alone() -> None:
    assert graphs.graphed(torch.device("cuda"))
    assert not graphs.graphed(torch.device("cpu"))
