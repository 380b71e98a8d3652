"""Lanes in a process that a fork server forked: it carries out what the driver sends, one thing after another."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from search.declaration.study import Study
from search.executors.lane_host import Advance, LaneHost, Orders
from search.ledger.events import LaneModeMeasured
from trainables.errors import CheckpointWriteError, named_with_last_line
from trainables.lane_event import LaneEvent

if TYPE_CHECKING:
    from trainables.data import Splits

UP, SEATED, DONE, REFUSED, FAILED = "up", "seated", "done", "refused", "failed"
"""What a process tells: its lanes; which modes it found out for the trials that it seated; what came of what it was
asked; that it cannot write; or, last, what it raised."""

Tell = Callable[[str, object], None]


def hold_lanes(
    connection: Connection,
    study: Study,
    splits: Splits,
    shared: Mapping[str, Any],
    own: Mapping[str, Any],
    threads: int,
) -> None:
    """Hold lanes until the driver closes the connection.

    It is sent what to call of the host, ``(name, arguments)``, and answers each with pairs of ``UP``, ``SEATED``,
    ``DONE`` or ``REFUSED`` and a value; of ``advance`` the last argument is the modes that others found out.

    Args:
        connection: to the driver.
        study: the declaration.
        splits: the examples.
        shared: what else ``LaneHost`` takes, in all processes.
        own: the same, in this one alone.
        threads: of torch, where trials do not train side by side.
    """
    import torch

    def tell(what: str, value: object) -> None:
        connection.send_bytes(_pickled((what, value)))

    torch.set_num_threads(threads)
    try:
        _serve(connection, LaneHost(study, splits, device="cpu", **shared, **own), tell)
    except (EOFError, ConnectionError):
        raise  # the driver needs it no more
    except Exception as error:
        tell(FAILED, named_with_last_line(error))
        raise


def _serve(connection: Connection, host: LaneHost, tell: Tell) -> None:
    tell(UP, host.describe())
    while True:
        name, arguments = connection.recv()
        try:
            if name == "advance":
                tell(DONE, _advance(host, *arguments, tell=tell))
            else:
                tell(DONE, getattr(host, name)(*arguments))
        except CheckpointWriteError as error:
            tell(REFUSED, str(error))


def _advance(host: LaneHost, orders: Orders, modes: Mapping[str, str], *, tell: Tell) -> Advance:
    host.learn(modes)

    def seated(measured: tuple[LaneModeMeasured, ...]) -> None:
        tell(SEATED, {event.group: event.mode for event in measured})

    return _carried(host.advance(orders, seated=seated if orders.seat else None))


def _pickled(value: object) -> bytes:
    import cloudpickle  # for classes of the script or notebook

    return bytes(cloudpickle.dumps(value))


def _carried(advance: Advance) -> Advance:
    """Return what came of orders with each error as one that another process can read; what it says is kept."""
    events = {number: _readable(event) for number, event in advance.events.items()}
    return replace(advance, events=events)


def _readable(event: LaneEvent) -> LaneEvent:
    if event.error is None:
        return event
    try:
        pickle.loads(_pickled(event.error))
    except Exception:  # it holds a lock, say, or takes other arguments than it keeps
        alike = type(type(event.error).__name__, (Exception,), {"__module__": "__main__"})
        return replace(event, error=alike(str(event.error)))
    return event
