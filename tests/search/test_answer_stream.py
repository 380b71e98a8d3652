import json
import subprocess
import sys

from search.face.answer_stream import answer_alone, print_json

PROGRAM = """
import os, sys
from search.face.answer_stream import answer_alone, print_json
print("before")
with answer_alone():
    print("printed"); os.write(1, b"raw\\n"); os.system("echo child"); sys.stdout.flush()
    print_json({"a": "\\u00e4"})
print_json([2])
"""


def test_standard_output_holds_the_one_object():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["before", json.dumps({"a": "\u00e4"}), "[2]"]
    assert sorted(done.stderr.split()) == ["child", "printed", "raw"]


def test_without_a_file_descriptor_what_is_printed_is_redirected_all_the_same(capsys):
    with answer_alone():
        print("printed")
        print_json(1)
    with answer_alone(on=False):
        print("as ever")
    assert capsys.readouterr() == ("1\nas ever\n", "printed\n")
