"""Where pluggable scorers come from: classes by dotted path, of packages that the environment allows."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence

from strategy.domain.scorer import BadScorer, Scorer, let_stop_through, told


class AllowedScorers:
    """Loads the class at a dotted path if its package is on the list; a call raises BadScorer if not."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = tuple(packages)

    def __call__(self, path: str) -> type[Scorer]:
        module_name, _, name = path.rpartition(".")
        if not self._is_allowed(module_name):
            allowed = ", ".join(self._packages) or "none"
            raise BadScorer(
                f"scorer {path}: its package is not allowed; add it to SCORER_PACKAGES "
                f"(now: {allowed})"
            )
        kind = getattr(_module(path, module_name), name, None)
        if kind is None:
            raise BadScorer(f"scorer {path}: module {module_name} has no {name}")
        _prove(path, kind)
        scorer: type[Scorer] = kind
        return scorer

    def _is_allowed(self, module_name: str) -> bool:
        return any(
            module_name == package or module_name.startswith(f"{package}.")
            for package in self._packages
        )


def _module(path: str, module_name: str) -> object:
    try:
        return importlib.import_module(module_name)
    except ImportError as error:
        raise BadScorer(f"scorer {path}: {error}") from error
    except BaseException as error:  # a stranger's module may raise anything when it is read
        let_stop_through(error)
        raise BadScorer(f"scorer {path}: importing {module_name} raised {told(error)}") from error


def _prove(path: str, kind: object) -> None:
    """It must be a class with score(frame, context)."""
    if not inspect.isclass(kind):
        raise BadScorer(f"scorer {path} is no class")
    for name in ("score", "score_frames"):
        method = getattr(kind, name, None)
        if method is None and name == "score_frames":
            continue  # vectorised scoring is optional
        if not callable(method):
            raise BadScorer(f"scorer {path} has no method {name}(frame, context)")
        try:
            inspect.signature(method).bind(None, None, None)
        except TypeError as error:
            raise BadScorer(
                f"scorer {path}: {name} does not take (frame, context): {error}"
            ) from error
        except ValueError:
            continue  # compiled without a signature: the first call will tell
