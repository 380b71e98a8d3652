"""The commands that are compared, and the workload they share."""

from __future__ import annotations

import argparse
import sys

from benchmarks.harness import HOME, SEED, Contender

EXECUTORS = ("lanes", "tune")
PEERS = {"ray_tune": "benchmarks.peers.ray_tune_script", "optuna": "benchmarks.peers.optuna_script"}
LABELS = {
    "lanes": "Lanewise, lanes",
    "tune": "Lanewise, tune",
    "ray_tune": "plain Ray Tune script",
    "optuna": "plain Optuna script",
}


def add_workload(parser: argparse.ArgumentParser, *, trials: int = 64, epochs: int = 30) -> None:
    """Add the options that say what is searched."""
    parser.add_argument("--executor", choices=EXECUTORS, default="lanes", help="ours")
    parser.add_argument("--against", choices=(*PEERS, "tune"), default="ray_tune", help="the other side")
    parser.add_argument("--trials", type=int, default=trials)
    parser.add_argument("--epochs", type=int, default=epochs, help="most epochs of one trial")
    parser.add_argument("--dataset", default="digits", choices=("digits", "mnist", "fashion_mnist"))
    parser.add_argument("--data-dir", help="folder with torchvision's data sets")
    parser.add_argument("--train-examples", type=int, help="use only this many training examples")
    parser.add_argument("--seed", type=int, default=0, help="of the first run; the next has the next seed")


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """End with a usage error where two options contradict each other."""
    if arguments.executor == arguments.against:
        parser.error(f"--executor and --against are both {arguments.executor}; choose two different sides")
    if arguments.dataset != "digits" and not arguments.data_dir:
        parser.error(f"--dataset {arguments.dataset} needs --data-dir FOLDER")


def workload(arguments: argparse.Namespace) -> str:
    """Say in a few words what is searched: ``mnist (10000 training images), 64 trials x 10 epochs``."""
    examples = f" ({arguments.train_examples} training examples)" if arguments.train_examples else ""
    return f"{arguments.dataset}{examples}, {arguments.trials} trials x {arguments.epochs} epochs"


def private_words(arguments: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """Return what a printed command shows in place of this machine's paths."""
    return ((arguments.data_dir, "DATA_DIR"),) if arguments.data_dir else ()


def contender(name: str, arguments: argparse.Namespace) -> Contender:
    """Return the command of ``lanes``, ``tune``, ``ray_tune`` or ``optuna``, with ``{seed}`` left open."""
    data = ["--dataset", arguments.dataset] if arguments.dataset != "digits" else []
    data += ["--data-dir", arguments.data_dir] if arguments.data_dir else []
    data += ["--train-examples", str(arguments.train_examples)] if arguments.train_examples else []
    common = ["--home", HOME, "--trials", str(arguments.trials), "--seed", SEED, *data]
    if name in PEERS:
        argv = [sys.executable, "-m", PEERS[name], *common, "--epochs", str(arguments.epochs)]
    else:
        widths = ["--set", "hidden=128-64"] if arguments.dataset != "digits" else []
        argv = [
            *(sys.executable, "-m", "search.run", "--no-confirm", "regularization", *common, "--name", "bench"),
            *("--max-epochs", str(arguments.epochs), "--executor", name, "--json", *widths),
        ]
    return Contender(LABELS[name], tuple(argv), private_words(arguments))
