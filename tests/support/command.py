"""A command of Lanewise, run in this process; nothing of it is stubbed."""

from typer.testing import CliRunner

from search.commands.verbs import app


def invoke(*arguments):
    """Run a command that must succeed; return what it printed: ``stdout``, or ``output`` with what is said beside."""
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done
