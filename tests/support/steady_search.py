"""An endless search of steady trials, as a process of its own: ends by a signal, and prints what came of it as JSON.

``python -m tests.support.steady_search HOME EXECUTOR MLFLOW_URI``
"""

import json
import sys
from pathlib import Path

from search.drive.engine import conduct
from search.drive.examples import load_data
from search.face.live_view import Silent
from tests.search.executors.conftest import steady_study


def main(home: Path, executor: str, uri: str) -> int:
    """Search until somebody says stop."""
    folder = home / f"counts-{executor}"
    folder.mkdir(parents=True)
    study = steady_study(
        folder,
        epoch_s=0.2,
        trials=100_000,
        max_epochs=20,
        name=executor,
        executor=executor,
        lanes={"lanes": 2},
        resources={"workers": 1, "cpus_per_trial": 0.5, "cpus_per_worker": 0.5},
        tracking={"uri": uri},
    )
    result = conduct(study, home, load_data, view=Silent())
    answer = {"states": result.answer.states, "untracked": result.untracked, "stall_s": result.longest_stall_s}
    print(json.dumps(answer), flush=True)
    return result.exit_code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
