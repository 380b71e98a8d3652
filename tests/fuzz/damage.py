"""Damage to bytes, as disks and hands do it: bits flipped, ends cut off, stretches zeroed, moved or put in."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

Damage = Callable[[bytes], bytes]

PLACE = st.integers(0, 2**32)
"""Taken modulo the length of what is damaged."""


def _flip(place: int, bit: int) -> Damage:
    def flip(data: bytes) -> bytes:
        at = place % max(1, len(data))
        return data[:at] + bytes(b ^ (1 << bit) for b in data[at : at + 1]) + data[at + 1 :]

    return flip


def _put(place: int, found: bytes, *, over: bool) -> Damage:
    def put(data: bytes) -> bytes:
        at = place % (len(data) + 1)
        return data[:at] + found + data[at + len(found) * over :]

    return put


def _cut(place: int) -> Damage:
    return lambda data: data[: place % (len(data) + 1)]


def _zero(place: int, length: int) -> Damage:
    return lambda data: _put(place, bytes(length), over=True)(data)[: len(data)]


def _move(source: int, target: int, length: int) -> Damage:
    def move(data: bytes) -> bytes:
        at = source % (len(data) + 1)
        return _put(target, data[at : at + length], over=True)(data)

    return move


LENGTH = st.sampled_from([1, 2, 4, 8, 16, 100, 512, 4096])

ONE = st.one_of(
    st.builds(_flip, PLACE, st.integers(0, 7)),
    st.builds(_put, PLACE, st.binary(min_size=1, max_size=16), over=st.booleans()),
    st.builds(_cut, PLACE),
    st.builds(_zero, PLACE, LENGTH),
    st.builds(_move, PLACE, PLACE, LENGTH),
)


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """Return one to four damages, one after another."""
    parts = draw(st.lists(ONE, min_size=1, max_size=4))

    def all_of_them(data: bytes) -> bytes:
        for part in parts:
            data = part(data)
        return data

    return all_of_them
