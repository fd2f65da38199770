"""The rule of the house: a room imports rooms on lower floors only; rooms on one floor are strangers."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "shoepair"
FLOORS = {
    "terminal": 0,
    "errors": 1,
    "files": 2, "hub": 2, "progress": 2, "texts": 2,
    "config": 3, "metrics": 3,
    "data": 4, "models": 4,
    "runs": 5,
    "inference": 6, "reports": 6,
    "app": 7,
    "commands": 8, "training": 8,
    "launch": 9,
    "cli": 10,
    "__init__": 11, "__main__": 11,
    "conf": 0,
}  # fmt: skip
# Who may know a library, by the first part of what it imports: rooms, or single files of them.
KNOWS = {
    "hydra": {"launch"},
    "starlette": {"app", "commands/app.py"},
    "uvicorn": {"app", "commands/app.py"},
    "lightning": {"training", "models/module.py", "data/datamodule.py"},
}
# No torch when they are imported, so that mistakes, help and tables answer in less than a second.
WITHOUT_TORCH = {
    "errors",
    "files",
    "terminal",
    "texts",
    "config",
    "metrics",
    "runs",
    "reports",
    "commands",
    "launch",
    "cli",
    "__init__",
}
TORCH = {"torch", "torchvision", "torchmetrics", "lightning", "timm"}


@dataclass(frozen=True)
class Import:
    """That a file imports a module; `late` if it does so inside a function."""

    file: str
    module: str
    late: bool

    @property
    def room(self) -> str:
        return room_of(self.file)


def room_of(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


def imports_of(path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    at_once = set(top_level(tree.body))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            yield Import(path.relative_to(SOURCE).as_posix(), name, node not in at_once)


def top_level(body: list[ast.stmt]) -> Iterator[ast.AST]:
    """What runs when a module is imported: not what stands in functions, nor what only type checkers read."""
    for node in body:
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.dump(node.test):
            yield from top_level([*node.body, *node.orelse])
        elif isinstance(node, ast.Try | ast.With):
            yield from top_level(node.body)


FILES = sorted(SOURCE.rglob("*.py"))
IMPORTS = [found for path in FILES for found in imports_of(path)]


def test_every_room_has_a_floor() -> None:
    rooms = {path.relative_to(SOURCE).parts[0].removesuffix(".py") for path in FILES}
    assert rooms <= FLOORS.keys()


def test_rooms_import_rooms_on_lower_floors_only() -> None:
    wrong = []
    for found in IMPORTS:
        if not found.module.startswith("shoepair."):
            continue
        other = found.module.split(".")[1]
        other = other if other in FLOORS else "__init__"  # such as shoepair.__version__
        if other != found.room and FLOORS[other] >= FLOORS[found.room] and found.module != "shoepair.__version__":
            wrong.append(f"{found.file} imports {found.module}")
    assert not wrong


def test_no_file_is_in_a_circle() -> None:
    """Not even by imports inside functions."""
    names = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in FILES}
    needs: dict[str, set[str]] = {name: set() for name in names}
    for found in IMPORTS:
        if not found.module.startswith("shoepair."):
            continue
        module = found.module.removeprefix("shoepair.")
        other = module if module in names else module.rpartition(".")[0]
        if other in names:
            needs[found.file.removesuffix(".py").replace("/", ".")].add(other)
    done: set[str] = set()
    while ready := {name for name in needs if name not in done and needs[name] <= done}:
        done |= ready
    assert not needs.keys() - done, sorted(needs.keys() - done)


@pytest.mark.parametrize("library", KNOWS)
def test_only_some_rooms_know_a_library(library: str) -> None:
    knowing = {found.file for found in IMPORTS if found.module.split(".")[0] == library}
    strangers = {file for file in knowing if not {file, room_of(file)} & KNOWS[library]}
    assert not strangers


def importing(libraries: set[str]) -> set[str]:
    """Files that import one of them as soon as they are imported, or another of ours that does."""
    names = {path.relative_to(SOURCE).as_posix().removesuffix(".py").replace("/", ".") for path in FILES}
    needs: dict[str, set[str]] = {name: set() for name in names}
    found = set[str]()
    for one in IMPORTS:
        if one.late:
            continue
        file, module = one.file.removesuffix(".py").replace("/", "."), one.module.removeprefix("shoepair.")
        needs[file].add(module if module in names else module.rpartition(".")[0])
        if one.module.split(".")[0] in libraries:
            found.add(file)
    while more := {name for name in names - found if needs[name] & found}:
        found |= more
    return found


def test_torch_is_not_imported_where_answers_are_to_be_quick() -> None:
    assert not sorted(file for file in importing(TORCH) if file.split(".")[0] in WITHOUT_TORCH)


def test_the_configuration_is_shown_without_the_schema() -> None:
    assert "launch.hydra_app" not in importing({"pydantic", "numpy"})


def test_the_packages_are_those_that_are_installed() -> None:
    text = (SOURCE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    packages = {".".join(path.parent.relative_to(SOURCE.parent).parts) for path in FILES}
    listed = {word.strip('"') for word in text.partition("packages = [")[2].partition("]")[0].replace(",", " ").split()}
    assert listed == packages | {"shoepair.conf"}


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"{path.relative_to(SOURCE)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert not long
