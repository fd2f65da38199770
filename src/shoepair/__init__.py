"""shoepair: do these two shoes belong together? Importing it is cheap; torch is imported where it is used."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoepair.inference.classifier import ShoeClassifier, Verdict, load_classifier

__all__ = ["ShoeClassifier", "Verdict", "__version__", "load_classifier"]
__version__ = version("shoepair")


def __getattr__(name: str) -> Any:
    """What needs torch is imported when it is first asked for."""
    if name in ("ShoeClassifier", "Verdict", "load_classifier"):
        from shoepair.inference import classifier

        return getattr(classifier, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
