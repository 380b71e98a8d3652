import pytest

from search.errors import RunError, UsageError


@pytest.mark.parametrize("kind", [UsageError, RunError])
def test_an_error_is_one_line_whatever_is_named_in_it(kind):
    error = kind(["a\nb", "c\u2028d\x1b[2J\ud800", "é \\n is as it was"])
    assert error.errors == (r"a\nb", r"c\u2028d\x1b[2J\ud800", "é \\n is as it was")
    assert str(error).splitlines() == list(error.errors)
