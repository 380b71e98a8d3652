"""Runs the cells of a notebook in ``__main__``, as IPython does: ``python notebook.py STYLE < cells``.

STYLE is ``ipython`` or ``ipykernel``, which name cells as these do and keep their source, or ``prompt``: there is none.
Cells are parted by lines of dashes; what one raises is printed, and the next runs all the same.
"""

import linecache
import sys
import traceback

style = sys.argv[1]
names = {"ipython": "<ipython-input-{}-3c5f>", "ipykernel": "/tmp/ipykernel_77/{}.py", "prompt": "<stdin>"}
del globals()["__file__"]  # a notebook has none

for number, source in enumerate(sys.stdin.read().split("\n----\n")):
    name = names[style].format(number)
    if style != "prompt":
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        exec(compile(source, name, "exec"), vars(sys.modules["__main__"]))
    except Exception as error:
        traceback.print_exc()
        print("raised", type(error).__name__, error)
