"""``python -m search VERB NAME``."""

import sys

if __name__ == "__main__":
    from search.credentials import mask_command_line

    mask_command_line()  # before what takes a second to import: until then, others can read it

from search.commands.verbs import main

if __name__ == "__main__":
    sys.exit(main())
