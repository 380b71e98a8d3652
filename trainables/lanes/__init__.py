"""Many trials trained at once on one device, a lane each."""

from trainables.lane_event import LaneEvent, raised
from trainables.lanes.folds import FoldLanes, FoldSeat
from trainables.lanes.grouping import can_stack, group_key, usual_mode
from trainables.lanes.measure import LanesChoice, Measurement, choose_lanes
from trainables.lanes.seat import Seat
from trainables.lanes.worker import LaneWorker

__all__ = [
    "FoldLanes",
    "FoldSeat",
    "LaneEvent",
    "LaneWorker",
    "LanesChoice",
    "Measurement",
    "Seat",
    "can_stack",
    "choose_lanes",
    "group_key",
    "raised",
    "usual_mode",
]
