"""The package under MXNet's name, for programs and libraries that import it and stay as they are.

A finder at the front of ``sys.meta_path`` gives ``mxnet`` and whatever is below it this package's
modules, which are the same objects under both names.
"""

from __future__ import annotations

import argparse
import importlib
import os
import runpy
import sys
import types
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec

_PACKAGE = __package__
_MXNET = "mxnet"


class _StandIn(MetaPathFinder, Loader):
    """Finds this package's modules below another name."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._own_specs: dict[str, ModuleSpec | None] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Of what is below the name; all else is for others to find."""
        if fullname != self.name and not fullname.startswith(f"{self.name}."):
            return None
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """The module that stands in.

        Raises:
            ModuleNotFoundError: there is none; it says what does the same here, where it is known.
        """
        own = _PACKAGE + spec.name.removeprefix(self.name)
        try:
            module = importlib.import_module(own)
        except ModuleNotFoundError as error:
            if error.name != own:
                raise
            module = _attribute(own, spec.name)
        self._own_specs[spec.name] = module.__spec__
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """It has been executed; importing has given it a second spec, which it must not keep."""
        assert module.__spec__ is not None
        module.__spec__ = self._own_specs.pop(module.__spec__.name)


def _attribute(own: str, wanted: str) -> types.ModuleType:
    """A module that is no file of its own, such as a namespace of operators."""
    parent, _, name = own.rpartition(".")
    try:
        found = getattr(importlib.import_module(parent), name)
    except AttributeError as error:
        # Without the name: `from mxnet import ...` would not show the text of its own miss.
        raise ModuleNotFoundError(f"no module {wanted}: {error}") from None
    if not isinstance(found, types.ModuleType):
        raise ModuleNotFoundError(f"{wanted} is no module but a {type(found).__name__}")
    return found


def install(name: str = _MXNET) -> None:
    """From now on ``import mxnet`` imports this package, also where MXNet is installed.

    Args:
        name: the other name.

    Raises:
        ImportError: something else was imported under that name before.
    """
    if sys.modules.get(name, sys.modules[_PACKAGE]) is not sys.modules[_PACKAGE]:
        raise ImportError(
            f"{name} is imported already: call tritonsym.stand_in.install() before anything that "
            "imports it"
        )
    if not any(isinstance(one, _StandIn) and one.name == name for one in sys.meta_path):
        sys.meta_path.insert(0, _StandIn(name))


# ---- python -m tritonsym run -------------------------------------------------------------------


def configure(parser: argparse.ArgumentParser) -> None:
    """Say what the command takes."""
    parser.add_argument("-m", dest="is_module", action="store_true", help="PROGRAM is a module")
    parser.add_argument("program", metavar="PROGRAM", help="a file, or with -m a module's name")
    parser.add_argument("arguments", metavar="...", nargs=argparse.REMAINDER, help="for it")


def run(given: argparse.Namespace) -> int:
    """Run a program as Python would; returns the status of one that ends by itself."""
    program: str = given.program
    if not given.is_module and not os.path.exists(program):
        print(f"there is no file {program!r}", file=sys.stderr)
        return 2
    install()
    sys.argv = [program, *given.arguments]
    if given.is_module:
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = os.path.dirname(os.path.abspath(program))
        runpy.run_path(program, run_name="__main__")
    return 0
