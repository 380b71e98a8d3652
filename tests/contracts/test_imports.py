"""The arrows of the design: who may import whom, read from the source, and what a driver then really loads."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("search", "trainables", "spaces")
FILES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

ALLOWED = {
    "search": {"search", "trainables", "spaces"},
    "trainables": {"trainables"},
    "spaces": {"spaces", "trainables"},  # of which the errors alone: see below
}
"""Of our own packages, which one a file of each may import."""

OWNERS = {
    "ray": (
        "search/integrations/ray_",
        "search/executors/",
        "search/executors/capacity.py",
        "trainables/tune.py",
    ),
    "mlflow": ("search/tracking/",),
    "optuna": (
        "search/brain/",
        "search/report/",
        "search/declaration/study.py",
        "search/export/optuna_",
        "search/integrations/optuna",
        "search/integrations/choices.py",
        "spaces/",
    ),
    "lightning": ("search/integrations/lightning.py",),
    "transformers": ("search/integrations/transformers.py",),
}
"""Of the services, the files and folders that may import each."""

HEAVY = ("torch", "ray", "mlflow", "torchvision", "sklearn", "pandas")
"""Slow to import: a command that only prints its help, or a usage error, must not pay for them."""


def imported(path):
    """Return the dotted names that a file imports, wherever in it, but not for the type checker alone."""
    tree = ast.parse((ROOT / path).read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for statement in block.body
        for node in ast.walk(statement)
    }
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        names += [(name, id(node) in typing_only) for name in found]
    return names


def tops(path, *, with_typing=True):
    """Return the top-level packages that a file imports."""
    return {name.partition(".")[0] for name, typing in imported(path) if with_typing or not typing}


def loaded_after(statement):
    """Return the heavy modules that a fresh interpreter has loaded after ``statement``."""
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    modules = set(run.stdout.split())
    assert "search" in modules
    return modules & set(HEAVY)


def loaded_by_a_search(home):
    """Return what the process of a search in lanes, its answer and its model handed on, loaded, in that order."""
    words = ["regularization", "--trials", "2", "--max-epochs", "2", "--no-confirm", "--home", str(home)]
    code = "import sys\nfrom search.run import main\ncode = main()\nprint('loaded', *sys.modules)\nsys.exit(code)"
    run = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert "executor lanes" in run.stdout
    first, *modules = run.stdout.splitlines()[-1].split()
    assert first == "loaded"
    return modules


def test_there_is_something_to_look_at():
    assert {path.parts[0] for path in FILES} == set(PACKAGES)
    assert len(FILES) > 30
    assert ("search.brain.order", False) in imported(Path("search/brain/sampler.py"))
    assert "torch" in tops(Path("trainables/loop.py"))
    assert ("torch", True) in imported(Path("trainables/protocols.py"))  # for the type checker alone


@pytest.mark.parametrize("path", FILES, ids=str)
def test_our_own_packages_are_imported_one_way(path):
    ours = tops(path) & set(PACKAGES)
    assert ours <= ALLOWED[path.parts[0]]


@pytest.mark.parametrize("service", OWNERS)
def test_a_service_is_imported_by_its_owners_alone(service):
    importers = {path.as_posix() for path in FILES if service in tops(path)}
    strangers = {path for path in importers if not path.startswith(OWNERS[service])}
    assert strangers == set()
    assert importers  # else the name is misspelt here


FLOORS = (
    ("__init__", "__main__", "run"),
    ("integrations",),
    ("api", "commands"),
    ("face",),
    ("export", "watch"),
    ("drive",),
    ("executors", "tracking"),
    ("brain",),
    ("report",),
    ("ledger",),
    ("declaration",),
    ("errors",),
    ("credentials", "signs"),
)
"""The rooms of ``search/`` from the top to the ground: an import, for types too, leads down or stays in its room."""


def floor(room):
    """Return how far below the top a room lies."""
    return next(i for i, rooms in enumerate(FLOORS) if room in rooms)


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "search"], ids=str)
def test_an_import_leads_down_the_house_or_stays_in_its_room(path):
    mine = path.parts[1].removesuffix(".py")
    rooms = {name.split(".")[1] for name, _ in imported(path) if name.startswith("search.")} - {mine}
    assert {room for room in rooms if floor(room) <= floor(mine)} == set()


def module_of(path):
    """Return what a file is called when it is imported."""
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def test_no_modules_import_each_other_in_a_circle():
    """Imports in functions count, those for types alone do not."""
    known = {module_of(path): path for path in FILES}
    graph = {}
    for module, path in known.items():
        names = {name for name, typing in imported(path) if not typing and name in known}
        packages = {name for name in names if any(other.startswith(f"{name}.") for other in names)}
        graph[module] = names - packages - {module}  # "from a import b" is an import of a.b, where that is a module
    assert sum(map(len, graph.values())) > len(graph), "else nothing was looked at"
    assert set(TopologicalSorter(graph).static_order()) == set(known)


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[:2] == ("search", "report")], ids=str)
def test_a_report_reads_frames_and_nothing_else_of_the_service(path):
    names = {name for name, typing in imported(path) if not typing and name.startswith("search.")}
    assert all(name.startswith(("search.report", "search.ledger.outcome")) for name in names)


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "spaces"], ids=str)
def test_a_space_shares_the_errors_of_trainables_and_nothing_else(path):
    names = {name for name, _ in imported(path) if name.startswith("trainables.")}
    assert all(name.startswith(("trainables.errors", "trainables.mistake")) for name in names)


@pytest.mark.parametrize("path", [p for p in FILES if p.parts[0] == "spaces"], ids=str)
def test_a_space_knows_optunas_distributions_and_nothing_else_of_optuna(path):
    names = {name for name, _ in imported(path) if name.partition(".")[0] == "optuna"}
    assert all(name.startswith("optuna.distributions") for name in names)


@pytest.mark.parametrize(
    "statement",
    ["import search.run", "import search.commands.verbs"],
)
def test_the_commands_start_without_anything_heavy(statement):
    assert loaded_after(statement) == set()


def test_a_resolved_study_needs_nothing_heavy():
    statement = (
        "from pathlib import Path\nfrom search.declaration.options import Options\n"
        "from search.drive.preflight import resolve\n"
        "resolve(Options('regularization', home=Path('nowhere')))"
    )
    assert loaded_after(statement) == set()


@pytest.mark.parametrize("module", ["search.executors.tune", "trainables.tune"])
def test_the_driver_of_ray_tune_starts_without_torch(module):
    loaded = loaded_after(f"import search, {module}")
    assert "ray" in loaded
    assert not loaded & {"torch", "torchvision", "sklearn", "mlflow"}


def test_the_tracker_starts_without_torch_and_ray():
    assert not loaded_after("import search.tracking.follow") & {"torch", "torchvision", "ray"}


def test_a_search_in_lanes_loads_torch_and_nothing_that_only_others_need(tmp_path):
    loaded = loaded_by_a_search(tmp_path / "home")
    others = {"ray", "mlflow", "alembic", "sklearn", "scipy", "torchvision", "torch._dynamo", "sympy"}
    assert others & set(loaded) == set()
    assert loaded.index("torch") < loaded.index("pandas"), "frames are for the answer, after the trials"
    assert (tmp_path / "home" / "mlflow.db").is_file(), "else MLflow had no reason to be imported"
