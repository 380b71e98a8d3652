"""The feature cache: what frozen stages compute of the images, once, for all trials that need it."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

import torch
from torch import nn

from trainables.loop import DeviceData
from trainables.transfer.pictures import Pictures

MIB = 1 << 20
VALIDATION = "validation"
"""Stands for an augmentation where the validation images are meant, which have none."""

PASS_NUMBERS = 1 << 22
"""Most numbers of the images that pass through the stages at once."""

Key = tuple[str, int]
"""Of a tensor: which images (an augmentation, or ``VALIDATION``), and after how many stages."""


class Store(Protocol):
    """Where features are kept. What was kept last, or asked for, is the last to be let go."""

    def get(self, key: Key) -> torch.Tensor | None:
        """Return what is kept under ``key``, or None."""

    def used(self) -> OrderedDict[Key, int]:
        """Return the bytes of all that is kept, what was used longest ago first."""

    def create(self, key: Key, shape: Sequence[int]) -> torch.Tensor | None:
        """Return room for float32 numbers, to be filled and given to ``keep``; None where there is none."""

    def keep(self, key: Key, filled: torch.Tensor) -> torch.Tensor:
        """Keep it, and return what is to be read."""

    def drop(self, key: Key) -> None:
        """Let go of it."""

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While inside, no other process fills this store."""


class MemoryStore:
    """Features in memory, on the device that trains."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: OrderedDict[Key, torch.Tensor] = OrderedDict()

    def get(self, key: Key) -> torch.Tensor | None:
        """See ``Store``."""
        if key in self._kept:
            self._kept.move_to_end(key)
        return self._kept.get(key)

    def used(self) -> OrderedDict[Key, int]:
        """See ``Store``."""
        return OrderedDict((key, t.numel() * t.element_size()) for key, t in self._kept.items())

    def create(self, key: Key, shape: Sequence[int]) -> torch.Tensor | None:
        """See ``Store``."""
        return torch.empty(*shape, device=self._device)

    def keep(self, key: Key, filled: torch.Tensor) -> torch.Tensor:
        """See ``Store``."""
        self._kept[key] = filled
        return filled

    def drop(self, key: Key) -> None:
        """See ``Store``."""
        del self._kept[key]

    @contextmanager
    def alone(self) -> Iterator[None]:
        """See ``Store``; there is no other."""
        yield


@dataclass(frozen=True)
class Stages:
    """The frozen stages of a backbone, for all trials of a study.

    Attributes:
        normalise: bytes to numbers.
        parts: the stages, input side first, in evaluation mode.
    """

    normalise: nn.Module
    parts: tuple[nn.Module, ...]

    def between(self, reached: int, depth: int) -> nn.Module:
        """Return what lies between examples after ``reached`` stages (0: bytes) and those after ``depth``."""
        return nn.Sequential(*([] if reached else [self.normalise]), *self.parts[reached:depth])

    def shapes(self, example: torch.Tensor) -> list[tuple[int, ...]]:
        """Return the shape of one example after 0, 1, ... all stages  # uint8 [1, C, H, W]."""
        x = example
        shapes = [tuple(x.shape[1:])]
        with torch.no_grad():
            x = self.normalise(x)
            for part in self.parts:
                x = part(x)
                shapes.append(tuple(x.shape[1:]))
        return shapes


class FeatureCache:
    """Examples at any depth of the frozen stages.

    ``at`` returns features after as many stages as were asked for where they can be kept within the limit, else
    after fewer: the trial then passes through the rest itself, in every epoch. What a trial still uses is never let
    go; of the rest, what was used longest ago goes first.

    Args:
        pictures: the images.
        stages: the frozen stages.
        store: where features are kept; None keeps none.
        limit: bytes that they may take.
        outputs: C.
        asked: metrics that every report is to hold besides the usual ones.
    """

    def __init__(
        self,
        pictures: Pictures,
        stages: Stages,
        store: Store | None,
        *,
        limit: float,
        outputs: int,
        asked: tuple[str, ...] = (),
    ) -> None:
        self._pictures = pictures
        self._stages = stages
        self._store = store
        self._limit = limit
        self._outputs = outputs
        self._asked = asked
        self._shapes = stages.shapes(pictures.example)
        self._given: WeakValueDictionary[Key, DeviceData] = WeakValueDictionary()

    @property
    def stages(self) -> Stages:
        """The frozen stages."""
        return self._stages

    @property
    def depths(self) -> int:
        """How many stages there are."""
        return len(self._stages.parts)

    def bytes_at(self, augmentation: str, depth: int) -> int:
        """Return what the features after ``depth`` stages take: training views and validation."""
        return self._size((augmentation, depth)) + self._size((VALIDATION, depth))

    def at(self, augmentation: str, depth: int) -> tuple[int, DeviceData]:
        """Return the examples after at most ``depth`` stages, and after how many."""
        for reached in range(depth, 0, -1):
            found = self._kept(augmentation, reached)
            if found is not None:
                return reached, found
        return 0, self._examples((augmentation, 0), self._pictures.train(augmentation), self._pictures.val)

    def _kept(self, augmentation: str, depth: int) -> DeviceData | None:
        store, keys = self._store, ((augmentation, depth), (VALIDATION, depth))
        if store is None or self.bytes_at(augmentation, depth) > self._limit:
            return None
        found = [store.get(key) for key in keys]
        if None in found:
            with store.alone():
                if not all(self._filled(store, key) for key in keys):
                    return None
                found = [store.get(key) for key in keys]
        train, val = found
        return None if train is None or val is None else self._examples(keys[0], train, val)

    def _examples(self, key: Key, train: torch.Tensor, val: torch.Tensor) -> DeviceData:
        """Return the same object for the same tensors as long as a trial has it."""
        given = self._given.get(key)
        if given is None or given.x_train is not train or given.x_val is not val:
            pictures = self._pictures
            given = DeviceData(
                train,
                pictures.y_train,
                val,
                pictures.y_val,
                self._outputs,
                asked=self._asked,
                views=pictures.views(key[0]),
            )
            self._given[key] = given
        return given

    def _filled(self, store: Store, key: Key) -> bool:
        """Have ``key`` kept, and what else one pass over its images can give; say whether that was possible."""
        if store.get(key) is not None:
            return True
        images, depth = key
        if not self._make_room(store, self._size(key), spare=images):
            return False
        free = self._limit - sum(store.used().values()) - self._size(key)
        wanted = {depth}
        for other in range(self.depths, 0, -1):
            if other != depth and store.get((images, other)) is None and self._size((images, other)) <= free:
                wanted.add(other)
                free -= self._size((images, other))
        return self._fill(store, images, wanted, key)

    def _fill(self, store: Store, images: str, wanted: set[int], key: Key) -> bool:
        pixels = self._pictures.val if images == VALIDATION else self._pictures.train(images)
        rooms = {depth: store.create((images, depth), (len(pixels), *self._shapes[depth])) for depth in wanted}
        outputs = {depth: room for depth, room in rooms.items() if room is not None}
        if key[1] not in outputs:
            return False
        step = max(1, PASS_NUMBERS // math.prod(pixels.shape[1:]))
        with torch.no_grad():
            for start in range(0, len(pixels), step):
                x = self._stages.normalise(pixels[start : start + step])
                for depth, part in enumerate(self._stages.parts[: max(outputs)], start=1):
                    x = part(x)
                    if depth in outputs:
                        outputs[depth][start : start + step] = x
        for depth, filled in sorted(outputs.items()):
            store.keep((images, depth), filled)
        return store.get(key) is not None

    def _make_room(self, store: Store, size: int, *, spare: str) -> bool:
        """Let go of what no trial uses until ``size`` bytes are free; of nothing where that would not do."""
        pinned = {key for given in self._given for key in (given, (VALIDATION, given[1]))}
        used = store.used()
        free = self._limit - sum(used.values())
        loose = [key for key in used if key not in pinned]
        # the other half of what is asked for goes last: it may have been kept a moment ago
        loose.sort(key=lambda key: key[0] == spare)
        if size > free + sum(used[key] for key in loose):
            return False
        for key in loose:
            if size <= free:
                break
            store.drop(key)
            free += used[key]
        return True

    def _size(self, key: Key) -> int:
        images, depth = key
        rows = len(self._pictures.y_val)
        if images != VALIDATION:
            rows = len(self._pictures.y_train) * self._pictures.views(images)
        return 4 * rows * math.prod(self._shapes[depth])
