import os
import socket

import pytest

from search.declaration.text_file import MOST_BYTES, read_text_file
from search.errors import UsageError


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "absent", "large", "latin"])
def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path, monkeypatch, kind):
    path = tmp_path / "study.yaml"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # a socket's path is at most some 100 letters
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "large":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    elif kind == "latin":
        path.write_bytes("kind: m\xe4\n".encode("latin-1"))
    with pytest.raises(UsageError) as caught:
        read_text_file(path, "--space")
    (line,) = caught.value.errors
    irregular = "is no regular file (a pipe, a socket or a device); save it in one first"
    words = {"folder": "is a directory", "absent": "no such file", "large": f"more than {MOST_BYTES // 1024} KiB"}
    assert str(path) in line and words.get(kind, "not UTF-8" if kind == "latin" else irregular) in line
