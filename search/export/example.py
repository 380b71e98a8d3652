"""Raw examples made of what is kept of the data alone: typical ones, and others to try a model on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from search.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from trainables.data.column_encoder import ColumnEncoder
    from trainables.kept_model import KeptModel


def examples_of(model: KeptModel, count: int, *, seed: int = 0) -> Any:
    """Return raw examples as ``KeptModel.predict`` takes them, the first of which is typical.

    Args:
        model: its preprocessing says what they look like.
        count: how many.
        seed: of all but the first: values about the mean of training, categories, gaps.

    Raises:
        UsageError: nothing is known of its raw examples.
    """
    how: Any = None if model.data is None else model.data.preprocessing
    if how is None:
        raise UsageError("nothing is known of the raw examples that this model was trained on")
    rng = np.random.default_rng(seed)
    if how.kind == "images":
        pixels = rng.integers(0, how.largest + 1, (count, *how.shape))
        pixels[:1] = how.largest // 2
        return pixels.astype(np.uint8 if how.largest < 256 else np.uint16)
    if how.kind == "table":
        import pandas as pd

        return pd.DataFrame({column.name: _values(column, count, rng) for column in how.columns})
    shape = (len(how.names),) if how.kind == "numbers" else how.shape
    scale = how.standardisation
    noise = rng.normal(0, 1, (count, *shape))
    noise[:1] = 0
    raw = np.asarray(scale.mean + noise * scale.deviation, np.float32)
    if how.kind == "numbers":
        import pandas as pd

        return pd.DataFrame(raw.astype(np.float64), columns=list(how.names))
    return raw


def _values(column: ColumnEncoder, count: int, rng: np.random.Generator) -> pd.Series[Any]:
    """Return values of a column as they may be, a gap among them where there are three and more."""
    import pandas as pd

    from trainables.data.columns import ColumnKind

    gap = np.arange(count) % 3 == 2
    if column.kind is ColumnKind.TEXT:
        known = [*column.categories] or [""]
        texts = pd.Series([known[i % len(known)] for i in range(count)], dtype=object)
        return texts.mask(gap, None) if column.missing else texts
    if column.kind is ColumnKind.FLAG:
        flags = pd.Series([bool(column.fill)] * count, dtype=object)
        flags[1::2] = not column.fill
        return flags
    numbers = pd.Series(column.fill + column.deviation * rng.normal(0, 1, count))
    numbers[0] = column.fill
    if column.kind is ColumnKind.DATE:
        days = pd.to_timedelta(numbers.round(), unit="D") + pd.Timestamp("1970-01-01")
        return days.mask(gap)
    return numbers.mask(gap)
