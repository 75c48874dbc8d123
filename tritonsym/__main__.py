"""MXNet's Symbol API, compiled for today's hardware. Without a command: the tour."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from . import plan_command, stand_in, tour


def main(arguments: Sequence[str]) -> int:
    """Do what a command line asks for; what it returns is the program's status."""
    parser = argparse.ArgumentParser("python -m tritonsym", description=__doc__)
    commands = parser.add_subparsers(dest="command", title="commands", metavar="COMMAND")
    commands.add_parser("tour", help="from symbols to results, in five small chapters")
    about = "the kernels that a GPU would run for a saved symbol; neither data nor GPU is needed"
    plan = commands.add_parser("plan", help=about, description=f"Print {about}.")
    plan_command.configure(plan)
    about = "a program that imports mxnet, which gets tritonsym instead"
    stand_in.configure(commands.add_parser("run", help=about, description=f"Run {about}."))
    given = parser.parse_args(arguments)
    if given.command == "plan":
        return plan_command.run(given)
    if given.command == "run":
        return stand_in.run(given)
    tour.main()
    return 0


if __name__ == "__main__":
    try:
        status = main(sys.argv[1:])
        sys.stdout.flush()
        sys.exit(status)
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; nothing must be written at the end either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
