"""Nested data with some of its places replaced, removed or renamed."""

import copy

from hypothesis import strategies as st


def places(data, path=()):
    """Yield every place in nested data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


@st.composite
def changed(draw, wholes, *, odd, names):
    """Return one of ``wholes`` with a few places changed.

    Args:
        draw: given by hypothesis.
        wholes: draws the data, which stay as they are.
        odd: draws what stands in the place of a value.
        names: draws what a key is called instead.
    """
    data = copy.deepcopy(draw(wholes))
    for _ in range(draw(st.integers(1, 4))):
        path = draw(st.sampled_from(list(places(data))))
        inside = data
        for part in path[:-1]:
            inside = inside[part]
        action = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
        if action == "replace":
            inside[path[-1]] = draw(odd)
        elif action == "remove":
            del inside[path[-1]]
        elif isinstance(inside, dict):
            inside[draw(names)] = inside.pop(path[-1])
        if not data:
            break
    return data
