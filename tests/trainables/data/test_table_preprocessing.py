"""The preprocessing that is kept of a table, beside scikit-learn's transformers, which it must equal bit for bit."""

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trainables.data.columns import ColumnKind
from trainables.data.table_preprocessing import TablePreprocessing, fit_table

NUMBERS = st.one_of(st.floats(-1e6, 1e6, width=32), st.just(np.nan))
VALUES = {
    ColumnKind.NUMBER: NUMBERS,
    ColumnKind.DATE: st.one_of(st.integers(0, 20_000).map(float), st.just(np.nan)),
    ColumnKind.FLAG: st.sampled_from([0.0, 1.0, np.nan]),
    ColumnKind.TEXT: st.one_of(st.text(max_size=2), st.just(np.nan)),
}


@st.composite
def tables(draw):
    """Return columns as ``column_numbers`` does, and what each holds; the first half has two values of each."""
    kinds = draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=6))
    rows = draw(st.integers(4, 12))
    frame, named = {}, {}
    for i, kind in enumerate(kinds):
        values = draw(st.lists(VALUES[kind], min_size=rows, max_size=rows))
        values[:2] = ["a", "b"] if kind is ColumnKind.TEXT else [0.0, 1.0]
        frame[f"c{i}"] = np.array(values, object if kind is ColumnKind.TEXT else np.float64)
        named[f"c{i}"] = kind
    return pd.DataFrame(frame), named


def by_scikit_learn(frame, kinds, train):
    of = {kind: [name for name in kinds if kinds[name] is kind] for kind in ColumnKind}
    scaled = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    transformer = ColumnTransformer(
        [
            ("scaled", scaled, of[ColumnKind.NUMBER] + of[ColumnKind.DATE]),
            ("flags", SimpleImputer(strategy="most_frequent"), of[ColumnKind.FLAG]),
            ("texts", texts, of[ColumnKind.TEXT]),
        ],
        sparse_threshold=0,
    )
    return transformer.fit(frame.iloc[:train]).transform(frame).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(tables())
def test_any_columns_become_what_scikit_learn_makes_of_them(table):
    frame, kinds = table
    train = len(frame) // 2
    fitted = fit_table(frame.iloc[:train], kinds)
    again = TablePreprocessing.from_dict(fitted.to_dict())
    assert again == fitted
    values = {name: frame[name].to_numpy() for name in frame}
    found = again.encode(values, rows=len(frame))
    assert found.dtype == np.float32
    assert np.array_equal(found, by_scikit_learn(frame, kinds, train))
