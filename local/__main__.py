"""The command line: `python -m local COMMAND`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from local import checks, reset, up
from local.errors import CannotRun, StopRequested


def _up(_arguments: argparse.Namespace) -> int:
    return up.run()


def _test(arguments: argparse.Namespace) -> int:
    pytest_arguments = [argument for argument in arguments.pytest_arguments if argument != "--"]
    if arguments.database_only:
        pytest_arguments = ["-m", "not local and not browser and not house and not once", *pytest_arguments]
    return checks.run(
        source=arguments.postgres,
        pytest_arguments=pytest_arguments,
        tests_only=arguments.tests_only or arguments.database_only,
    )


def _serve_test(arguments: argparse.Namespace) -> int:
    return checks.serve(env_file=arguments.env_file.resolve(), source=arguments.postgres)


def _reset(arguments: argparse.Namespace) -> int:
    return reset.run(ask=not arguments.yes)


def _manage(arguments: argparse.Namespace) -> int:
    return up.manage(arguments.arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m local", description="Rollcall on one machine.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("up", help="start everything and keep it running")
    command.set_defaults(run=_up)

    command = commands.add_parser("test", help="run every check on servers of its own")
    _add_postgres(command)
    command.add_argument("--tests-only", action="store_true", help="only the tests, none of the other checks")
    command.add_argument("--database-only", action="store_true", help="only the tests of what a database decides")
    command.add_argument("pytest_arguments", nargs="*", metavar="PYTEST_ARGUMENT", help="after --")
    command.set_defaults(run=_test)

    command = commands.add_parser("lint", help="run only the checks that need no server")
    command.set_defaults(run=lambda _arguments: checks.lint())

    command = commands.add_parser("serve-test", help="run the servers that tests need, until stopped")
    _add_postgres(command)
    command.add_argument("--env-file", type=Path, required=True, help="gets the lines to be sourced")
    command.set_defaults(run=_serve_test)

    command = commands.add_parser("reset", help="delete all data of this installation, after asking")
    command.add_argument("--yes", action="store_true", help="do not ask")
    command.set_defaults(run=_reset)

    command = commands.add_parser("manage", help="run manage.py in the environment of the running installation")
    command.add_argument("arguments", nargs=argparse.REMAINDER)
    command.set_defaults(run=_manage)
    return parser


def _add_postgres(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--postgres",
        choices=["any", "wheel", "system"],
        default="any",
        help="whose PostgreSQL: the wheel's, the operating system's, or the first that exists",
    )


def main(argv: list[str] | None = None) -> int:
    """Run one command; return the exit code of the process. Refusals are one line on standard error."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
    except CannotRun as refusal:
        print(f"rollcall: {refusal}", file=sys.stderr)
        return 1
    except (StopRequested, KeyboardInterrupt):
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
