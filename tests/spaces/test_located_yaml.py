import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.located_yaml import MOST_VALUES, YamlError, load_yaml


def errors_of(text):
    with pytest.raises(YamlError) as caught:
        load_yaml(text)
    return caught.value.errors


def test_all_yaml_data_have_the_line_of_their_key_or_item():
    document = load_yaml("a: 1\n# a comment\nb:\n  c: [x,\n      y]\n  d: {e: 2}\n")
    assert document.data == {"a": 1, "b": {"c": ["x", "y"], "d": {"e": 2}}}
    assert document.lines == {
        ("a",): 1,
        ("b",): 3,
        ("b", "c"): 4,
        ("b", "c", 0): 4,
        ("b", "c", 1): 5,
        ("b", "d"): 6,
        ("b", "d", "e"): 6,
    }


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-1.5E+3", -1500.0),
        ("1.", 1.0),
        (".5", 0.5),
        ("12", 12),
        ("-3", -3),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("none", "none"),
        ("64-32", "64-32"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("1_000", "1_000"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_words_without_quotes_mean_what_yaml_1_2_says(text, value):
    data = load_yaml(f"a: {text}").data["a"]
    assert (data, type(data)) == (value, type(value))


def test_yaml_anchors_are_followed_and_merged_below_what_a_mapping_says():
    document = load_yaml("base: &b\n  x: 1\n  y: 2\nother:\n  <<: *b\n  y: 3\nsame: *b\n")
    assert document.data == {"base": {"x": 1, "y": 2}, "other": {"x": 1, "y": 3}, "same": {"x": 1, "y": 2}}
    assert document.lines[("other", "x")] == 2
    assert document.lines[("other", "y")] == 6
    assert load_yaml("a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}").data["c"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("a: [1,\n", 2, "not valid YAML: expected the node content"),
        ("a: 1\nb: c: d", 2, "not valid YAML: mapping values are not allowed here"),
        ("a:\n\t- 1", 2, "not valid YAML: found character '\\t' that cannot start any token"),
        ("a: *b", 1, "not valid YAML: found undefined alias 'b'"),
        ("a: 1\n---\nb: 2", 2, "not valid YAML: but found another document"),
        ("a: 1\nb: \x07", 2, "not valid YAML: special characters are not allowed"),
        ('a: "\\UFFFFFFFF"', None, "not valid YAML: "),
        ("a: 1\nb: 2\na: 3", 3, "a is given twice; first in line 1"),
        ("a:\n  b: 1\n  b: 1", 3, "a.b is given twice; first in line 2"),
        ("1: 2", 1, "a name must be a word, got '1'"),
        ("{[a]: 2}", 1, "a name must be a word, got a list or a mapping"),
        ("a: .inf", 1, "a number must be finite, got '.inf'"),
        ("a: 1e999", 1, "a number must be finite, got '1e999'"),
        ("a: .nan", 1, "a number must be finite, got '.nan'"),
        (f"a: {10**30}", 1, "a whole number has at most 64 bits, got '1000"),
        (f"a: {'9' * 5000}", 1, "'9999999999999999999999999999999999999...' is no int"),
        ("a: !!python/object/apply:os.system [ls]", 1, "the tag '!!python/object/apply:os.system' is not allowed"),
        ("a: !!binary aGk=", 1, "the tag '!!binary' is not allowed: plain data only"),
        ("a: !mine {b: 1}", 1, "the tag '!mine' is not allowed: plain data only"),
        ("a: !!int x", 1, "'x' is no int"),
        ("a: !!bool x", 1, "'x' is no bool"),
        ("a: &a\n  b: *a", 1, "an anchor holds itself"),
        ("a: {<<: 5}", 1, "<< must name mappings"),
        ("[" * 3000, None, "nested too deeply"),
    ],
)
def test_a_yaml_mistake_is_said_with_its_line(text, line, what):
    ((found_line, found),) = errors_of(text)
    assert found.startswith(what)
    assert found_line == line


def test_every_yaml_mistake_that_can_be_told_is_told_at_once():
    assert [line for line, _ in errors_of("a: .inf\nb: 1\nb: 2\n3: 4\nc: !x y")] == [1, 3, 4, 5]


def test_yaml_anchors_that_multiply_are_refused():
    rows = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 9)]
    ((_, what),) = errors_of("\n".join(rows))
    assert what == f"holds more than {MOST_VALUES:,} values"


@given(st.text(alphabet="ab:-[]{}&*!<>|'\"#%@,?\n \t\\0.1e~\x00\ufeff\U0001f600", max_size=60))
def test_reading_any_text_as_yaml_raises_nothing_but_yaml_errors(text):
    try:
        document = load_yaml(text)
    except YamlError as error:
        assert error.errors
    else:
        assert all(line >= 1 for line in document.lines.values())


BOMBS = {
    "laughs": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
    "merges": "a: &a {" + ", ".join(f"k{i}: 1" for i in range(300)) + "}\n" + "c: {<<: [" + "*a," * 300 + "]}\n",
    "deep": "[" * 3000,
    "mistakes": "a: 1\n" * 400,
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_or_read_and_says_little(text):
    with pytest.raises(YamlError) as caught:
        load_yaml(text)
    assert 1 <= len(caught.value.errors) <= 51


def test_what_a_mapping_says_itself_keeps_its_line_below_what_it_merges():
    document = load_yaml("a: &a\n  x: 1\n  y: 2\nb:\n  y: 3\n  <<: *a\n")
    assert document.data["b"] == {"y": 3, "x": 1}
    assert (document.lines["b", "y"], document.lines["b", "x"]) == (5, 2)
