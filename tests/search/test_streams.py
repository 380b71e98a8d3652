"""What cannot be printed ends nothing, and the exit code says so."""

import io
import os
import subprocess
import sys

import pytest

from search.commands.streams import ForgivingFile, forgiving_output
from search.errors import OutputError
from search.ledger import Ledger, sqlite_url

SEARCH = (
    *(
        sys.executable,
        "-m",
        "search.run",
        "--no-confirm",
        "regularization",
        "--name",
        "mine",
        "--trials",
        "3",
        "--max-epochs",
        "3",
    ),
    *("--train-examples", "300", "--tracking", "offline", "--no-confirm"),
)


def text_to(file):
    return io.TextIOWrapper(io.BufferedWriter(file), "utf-8", write_through=True)


def test_what_can_be_written_is_written():
    reader, writer = os.pipe()
    file = ForgivingFile(writer)
    print("a line", file=text_to(file), flush=True)
    os.close(writer)
    assert os.read(reader, 100) == b"a line\n"
    assert file.lost is None
    os.close(reader)


def test_a_reader_that_is_gone_is_noticed_once_and_raises_nothing():
    reader, writer = os.pipe()
    os.close(reader)
    file = ForgivingFile(writer)
    stream = text_to(file)
    for _ in range(3):
        print("a line", file=stream, flush=True)
    os.close(writer)
    assert file.lost == "Broken pipe"


def test_a_full_disk_is_noticed_and_raises_nothing():
    descriptor = os.open("/dev/full", os.O_WRONLY)
    file = ForgivingFile(descriptor)
    print("a line", file=text_to(file), flush=True)
    os.close(descriptor)
    assert file.lost == "No space left on device"


def test_a_pipe_that_does_not_block_gets_everything():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    file, size = ForgivingFile(writer), 1 << 20
    child = subprocess.Popen(["wc", "-c"], stdin=reader, stdout=subprocess.PIPE)
    os.close(reader)
    text_to(file).write("x" * size)
    os.close(writer)
    assert int(child.communicate(timeout=60)[0]) == size
    assert file.lost is None


def test_a_stream_that_a_caller_put_there_is_left_alone(capsys):
    with forgiving_output() as output:
        print("a line")
    assert capsys.readouterr().out == "a line\n"
    assert output.lost is None


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_character_that_the_encoding_lacks_is_written_as_its_escape(encoding):
    text = "'\\u00b1 \\u732b \\udcff'"
    script = f"from search.commands.streams import forgiving_output\nwith forgiving_output():\n print({text})"
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, env=env, timeout=60, check=True)
    expected = "\u00b1 \u732b \udcff\n".encode(encoding, "backslashreplace")
    assert done.stdout == expected


def recorded(home):
    with Ledger(sqlite_url(home / "mine" / "ledger.db")) as ledger:
        study = ledger.study("mine")
        return [trial.state.value for trial in ledger.trials(study.id)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shell", "reason"),
    [
        ('"$@" | head -n 1; exit "${PIPESTATUS[0]}"', "Broken pipe"),
        ('"$@" | true; exit "${PIPESTATUS[0]}"', "Broken pipe"),
        ('"$@" > /dev/full', "No space left on device"),
        ('"$@" >&-', "it is closed"),
        ('"$@" <&- >&-', "it is closed"),
        ('"$@" --json | true; exit "${PIPESTATUS[0]}"', "Broken pipe"),
    ],
)
def test_a_search_goes_on_though_nobody_reads_it(tmp_path, shell, reason):
    command = ["bash", "-c", shell, "bash", *SEARCH, "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == OutputError.exit_code
    assert done.stderr.splitlines()[-1] == (
        f"error: standard output could not be written ({reason}); what was recorded stays, see: python -m search list"
    )
    assert recorded(tmp_path) == ["COMPLETE"] * 3


@pytest.mark.slow
def test_a_search_goes_on_without_any_stream(tmp_path):
    command = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", *SEARCH, "--home", str(tmp_path)]
    assert subprocess.run(command, timeout=300).returncode == OutputError.exit_code
    assert recorded(tmp_path) == ["COMPLETE"] * 3
