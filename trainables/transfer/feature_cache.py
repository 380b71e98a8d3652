"""The feature cache: what frozen stages compute of the images, once, for all trials that need it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from weakref import WeakValueDictionary

import torch
from torch import nn

from trainables.device_data import DeviceData
from trainables.lanes.threads import start_pool, usual_threads
from trainables.pace import Pace, signs_of_life
from trainables.stage import stage
from trainables.transfer.feature_store import VALIDATION, FeatureKey, FeatureStore
from trainables.transfer.image_views import ImageViews

MIB = 1 << 20

PASS_NUMBERS = 1 << 22
"""Most numbers of the images that pass through the stages at once."""


@dataclass(frozen=True)
class FrozenStages:
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
        images: the images, and their views.
        stages: the frozen stages.
        store: where features are kept; None keeps none.
        limit: bytes that they may take.
        outputs: C.
        extra_metrics: metrics that every report is to hold besides the usual ones.
    """

    def __init__(
        self,
        images: ImageViews,
        stages: FrozenStages,
        store: FeatureStore | None,
        *,
        limit: float,
        outputs: int,
        extra_metrics: tuple[str, ...] = (),
    ) -> None:
        self._views = images
        self._stages = stages
        self._store = store
        self._limit = limit
        self._outputs = outputs
        self._extra_metrics = extra_metrics
        self._shapes = stages.shapes(images.example)
        self._given: WeakValueDictionary[FeatureKey, DeviceData] = WeakValueDictionary()

    @property
    def images(self) -> ImageViews:
        """The images, at the size that the backbone sees."""
        return self._views

    @property
    def stages(self) -> FrozenStages:
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
        return 0, self._examples((augmentation, 0), self._views.train(augmentation), self._views.val)

    def _kept(self, augmentation: str, depth: int) -> DeviceData | None:
        store, keys = self._store, ((augmentation, depth), (VALIDATION, depth))
        if store is None or self.bytes_at(augmentation, depth) > self._limit:
            return None
        found = [store.get(key) for key in keys]
        if None in found:
            with store.exclusive():
                if not all(self._filled(store, key) for key in keys):
                    return None
                found = [store.get(key) for key in keys]
        train, val = found
        return None if train is None or val is None else self._examples(keys[0], train, val)

    def _examples(self, key: FeatureKey, train: torch.Tensor, val: torch.Tensor) -> DeviceData:
        """Return the same object for the same tensors as long as a trial has it."""
        given = self._given.get(key)
        if given is None or given.x_train is not train or given.x_val is not val:
            given = DeviceData(
                train,
                self._views.y_train,
                val,
                self._views.y_val,
                self._outputs,
                extra_metrics=self._extra_metrics,
                views=self._views.views(key[0]),
                weights=self._views.weights,
            )
            self._given[key] = given
        return given

    def _filled(self, store: FeatureStore, key: FeatureKey) -> bool:
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

    def _fill(self, store: FeatureStore, images: str, wanted: set[int], key: FeatureKey) -> bool:
        pixels = self._views.val if images == VALIDATION else self._views.train(images)
        rooms = {depth: store.create((images, depth), (len(pixels), *self._shapes[depth])) for depth in wanted}
        outputs = {depth: room for depth, room in rooms.items() if room is not None}
        if key[1] not in outputs:
            return False
        step = max(1, PASS_NUMBERS // math.prod(pixels.shape[1:]))
        what = f"frozen stages of {len(pixels):,} images ({images}), for all trials"
        deepest = max(outputs)

        @torch.no_grad()
        def pass_through(start: int) -> None:
            x = self._stages.normalise(pixels[start : start + step])
            for depth, part in enumerate(self._stages.parts[:deepest], start=1):
                x = part(x)
                if depth in outputs:
                    outputs[depth][start : start + step] = x

        # a core for each part of the images: cores that share an operation wait for the one that others use
        threads = start_pool(usual_threads(pixels.device), pixels.device, flush=False)
        with stage(f"computing {what}") as filling, threads as pool:
            pace = Pace(signs_of_life, what, stage=filling)
            starts = range(0, len(pixels), step)
            for done, _ in enumerate(pool.map(pass_through, starts), start=1):
                pace.update(done / len(starts))
        for depth, filled in sorted(outputs.items()):
            store.keep((images, depth), filled)
        return store.get(key) is not None

    def _make_room(self, store: FeatureStore, size: int, *, spare: str) -> bool:
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

    def _size(self, key: FeatureKey) -> int:
        images, depth = key
        rows = len(self._views.y_val)
        if images != VALIDATION:
            rows = len(self._views.y_train) * self._views.views(images)
        return 4 * rows * math.prod(self._shapes[depth])
