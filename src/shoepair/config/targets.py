"""The arguments of classes that a configuration names, read from their source.

inspect.signature would say the same, but it imports torch first: an error about a mistyped key would take 2.5 seconds
instead of 0.7.
"""

import ast
import importlib.util
from pathlib import Path

GIVEN_BY_US = {"self", "params", "optimizer"}


def parameters_of(target: str) -> set[str] | None:
    """Names of the arguments of a class such as `torch.optim.Adam`.

    Returns:
        The names, or None if the source was not found or takes any keyword.
    """
    try:
        return _parameters_of(target)
    except (ImportError, OSError, ValueError, SyntaxError):  # whatever a name may lead to
        return None


def _parameters_of(target: str) -> set[str] | None:
    module, _, name = target.rpartition(".")
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or not spec.submodule_search_locations:
        return None
    place = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    files = sorted(place.glob("*.py")) if place.is_dir() else [place.with_suffix(".py")]
    for file in files:
        text = file.read_text(encoding="utf-8") if file.is_file() else ""
        if f"class {name}" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef) and node.name == name:
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                        if method.args.kwarg:
                            return None
                        return {a.arg for a in (*method.args.args, *method.args.kwonlyargs)} - GIVEN_BY_US
    return None
