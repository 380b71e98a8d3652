"""``python -m search VERB NAME``."""

import sys

from search.commands.verbs import main

if __name__ == "__main__":
    sys.exit(main())
