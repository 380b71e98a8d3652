import numpy as np
import pandas as pd
import pytest

from trainables.data.numbered_texts import MOST_CODES, numbered_texts

WEEKS = [f"2023-W{week:02}" for week in range(1, 41)]


@pytest.mark.parametrize(
    "values",
    [
        WEEKS,
        [f"{month}-{year}" for month in ("Jan", "Feb") for year in range(10, 40)],
        [f'="{n}"' for n in range(20)],
        pd.Categorical(range(100, 120)).rename_categories(str),
    ],
)
def test_text_whose_every_value_has_a_digit_is_pointed_out(values):
    (notice,) = numbered_texts(pd.DataFrame({"x": values}), {})
    assert (notice.kind, notice.names, notice.warning) == ("numbered_texts", ("x",), True)
    assert f"'x' ({len(set(values))} values, such as {values[0]!r})" in notice.text


def test_words_few_codes_numbers_and_what_the_user_said_are_not():
    few = np.resize(WEEKS[:MOST_CODES], 40)
    words = [f"{chr(97 + i % 26)}{'b' * (i // 26 + 1)}" for i in range(40)]
    frame = pd.DataFrame({"few": few, "words": words, "number": np.arange(40), "asked": WEEKS, "gap": [None] * 40})
    assert numbered_texts(frame, {"asked": "text"}) == []


@pytest.mark.parametrize(
    "values",
    [[f"p{n:03}" for n in range(28)], [f"{a}{n}" for a in "ABC" for n in range(9)], [f"case-{n}" for n in range(20)]],
)
def test_codes_are_not_advised_to_be_numbers_or_dates(values):
    (notice,) = numbered_texts(pd.DataFrame({"patient": values}), {})
    assert notice.kind == "numbered_texts" and f"'patient' ({len(values)} values, such as {values[0]!r})" in notice.text
    assert "--drop" in notice.text and "1234.5" not in notice.text
