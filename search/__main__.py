"""``python -m search VERB NAME``, installed as ``lanewise VERB NAME``."""

import sys


def main() -> int:
    """Begin what must be begun before anything that takes a second to import, and run the verb."""
    from search.credentials import mask_command_line

    mask_command_line()  # until then, others can read it

    from search.signs.life import begin

    begin()

    from search.commands.verbs import main as run_verb

    return run_verb()


if __name__ == "__main__":
    sys.exit(main())
