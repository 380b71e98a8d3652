"""Hypothesis strategies for spaces, and an enumeration of their points that shares no code with them."""

from collections.abc import Iterator

from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from spaces import Condition, Parameter, Space, Value

CHOICES = [("a", "b", "c"), (False, True), (1, 2), ("only",), (0.5, 1.5)]


@st.composite
def drawn_spaces(draw: st.DrawFn, *, finite: bool = False, most: int = 5) -> Space:
    """Draw a space of 1 to ``most`` parameters, with conditions on the categories declared before."""
    parameters: list[Parameter] = []
    for i in range(draw(st.integers(1, most))):
        kind = draw(st.sampled_from(["category", "int", "stepped"] if finite else ["category", "int", "float"]))
        distribution = draw(_distribution(kind))
        baseline = draw(_value(distribution))
        parameters.append(Parameter(f"p{i}", distribution, baseline, draw(_condition(parameters))))
    return Space(tuple(parameters))


@st.composite
def drawn_points(draw: st.DrawFn, space: Space) -> dict[str, Value]:
    """Draw a value for every parameter of ``space``, active or not."""
    return {p.name: draw(_value(p.distribution)) for p in space}


def enumerate_points(space: Space) -> Iterator[dict[str, Value]]:
    """Yield every distinct point of a finite space, by plain recursion over its declaration."""
    parameters = list(space)

    def walk(i: int, point: dict[str, Value]) -> Iterator[dict[str, Value]]:
        if i == len(parameters):
            yield point
            return
        p = parameters[i]
        absent = p.when is not None and (
            p.when.parent not in point or str(point[p.when.parent]) not in [str(v) for v in p.when.values]
        )
        if absent:
            yield from walk(i + 1, point)
        else:
            for value in values_of(p):
                yield from walk(i + 1, {**point, p.name: value})

    yield from walk(0, {})


def values_of(parameter: Parameter) -> list[Value]:
    """Return every value of a finite parameter."""
    d = parameter.distribution
    if isinstance(d, CategoricalDistribution):
        return list(d.choices)
    if isinstance(d, IntDistribution):
        return [v for v in range(d.low, d.high + 1) if (v - d.low) % d.step == 0]
    assert isinstance(d, FloatDistribution)
    values, value = [], d.low
    while value <= d.high:
        values.append(value)
        if d.step is None:
            break  # finite only where low == high
        value += d.step
    return values


@st.composite
def _distribution(draw: st.DrawFn, kind: str) -> CategoricalDistribution | IntDistribution | FloatDistribution:
    if kind == "category":
        return CategoricalDistribution(draw(st.sampled_from(CHOICES)))
    low = draw(st.integers(1, 5))
    high = low + draw(st.integers(0, 5))
    if kind == "int":
        log = draw(st.booleans())
        step = 1 if log else draw(st.integers(1, 3))
        return IntDistribution(low, high - (high - low) % step, log=log, step=step)
    if kind == "stepped":
        return FloatDistribution(low, high, step=0.5)  # a binary fraction: sums of it are exact
    return FloatDistribution(low, high + draw(st.floats(0, 5)), log=draw(st.booleans()))


@st.composite
def _value(draw: st.DrawFn, distribution: CategoricalDistribution | IntDistribution | FloatDistribution) -> Value:
    d = distribution
    if isinstance(d, FloatDistribution) and d.step is None:
        return draw(st.floats(d.low, d.high))
    return draw(st.sampled_from(values_of(Parameter("", d, 0))))


@st.composite
def _condition(draw: st.DrawFn, before: list[Parameter]) -> Condition | None:
    categories = [p for p in before if isinstance(p.distribution, CategoricalDistribution)]
    if not categories or draw(st.booleans()):
        return None
    parent = draw(st.sampled_from(categories))
    values = draw(st.lists(st.sampled_from(parent.distribution.choices), min_size=1, unique=True))
    return Condition(parent.name, tuple(values))
