"""What a trial trains as in its lane."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from trainables.device_data import DeviceData, batch_bounds
from trainables.lanes.grouping import can_stack, group_key
from trainables.lanes.modules.key import ModuleKey


@dataclass(frozen=True, slots=True)
class Role:
    """What a trial trains as.

    Attributes:
        data: of the worker, or the trial's own.
        full_state: where it trains in place of another configuration, makes the whole model's state; see ``Seat``.
        module: the group of a trial that trains a module of some other kind than ours.
    """

    config: Any
    data: Any
    full_state: Callable[[Any], Any] | None = None
    module: ModuleKey | None = None

    @property
    def stands_in(self) -> bool:
        """Whether it trains in place of another configuration."""
        return self.full_state is not None

    @property
    def streams(self) -> bool:
        """Whether the examples are read a batch at a time: a stack would read those of every lane."""
        return isinstance(self.data, DeviceData) and self.data.streams

    @property
    def key(self) -> Hashable:
        """What the trials of a mode have in common; where data differ, their size decides too."""
        key = self.module or group_key(self.config)
        return f"{key}, {self.data.features} features" if self.stands_in else key

    @property
    def too_small_for_norm(self) -> bool:
        """Whether batch norm has a batch of one example, which it refuses: the loop says so, for this trial alone."""
        if not can_stack(self.config) or not self.config.batch_norm:
            return False
        return any(stop - start == 1 for start, stop in batch_bounds(self.data.examples, self.config.batch_size))
