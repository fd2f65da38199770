"""Runs Hydra for `train` and `evaluate`, as if what is handed on were all that was typed."""

import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import Iterator

import hydra
from omegaconf import DictConfig

from shoepair.errors import UserError, one_line
from shoepair.launch.choices import refuse_no_option
from shoepair.launch.hydra_private import explain, parse_overrides, raising, refuse_unknown_flags
from shoepair.launch.naming import naming_override  # the module registers the resolvers that conf/ uses
from shoepair.launch.sweep import Sweep
from shoepair.runs.folder import release
from shoepair.terminal import say, say_aside

MULTIRUN = {"-m", "--multirun"}
OUR_CALLBACKS = re.compile(r"[~+]*hydra(\.callbacks(\.(preflight|sweep)\b.*)?)?(=.*)?", re.DOTALL)
# What a configuration may have Hydra build: callbacks, launchers, sweepers, samplers and log handlers.
BUILDS = ["shoepair.*", "hydra.*", "hydra_plugins.*", "optuna.*", "logging.*", "colorlog.*"]


def run_hydra(command: str, arguments: list[str]) -> None:
    """Run `train` or `evaluate`. Raises UserError for what the user can mend."""
    if any(argument.partition("=")[0] == "--explain" for argument in arguments):
        from shoepair.launch.explained import explain_keys, parse_explain

        names, rest = parse_explain(arguments)
        with contextlib.redirect_stdout(io.StringIO()) as composed:
            run_hydra(command, [*rest, "--cfg", "job"])
        say(explain_keys(command, names, composed.getvalue()))
        return
    if command == "train" and any(argument.startswith("resume=") for argument in arguments):
        from shoepair.launch.resume import replay_resumed

        arguments = replay_resumed(arguments)
    refuse_unknown_flags(command, arguments)
    arguments = _with_our_overrides(command, arguments)
    full_error = os.environ.get("HYDRA_FULL_ERROR", "") == "1"
    # Hydra reads sys.argv; Lightning reads it again for the processes it starts, and must find the command.
    typed = sys.argv
    sys.argv = [typed[0], *arguments]
    try:
        with raising(), _whole_sweep(), _meanings(command, arguments):
            application = hydra.main("pkg://shoepair.conf", command, execution_whitelist=BUILDS)
            application(run_train if command == "train" else run_evaluate)()
    except BrokenPipeError:  # it may be that nobody reads on
        raise
    except Exception as error:
        message = explain(error)
        if message is None and not _passed_through_us(error):
            message = (
                f"Hydra cannot use what was typed ({type(error).__name__}: {one_line(str(error))}); HYDRA_FULL_ERROR=1 "
                "shows where."
            )
        if message is None or full_error:
            raise
        raise UserError(message) from error
    finally:
        sys.argv = typed
        release()


def _passed_through_us(error: BaseException) -> bool:
    """Whether an error was raised in a job, or in anything else of ours that Hydra called."""
    names = {frame.f_globals.get("__name__", "") for frame, _ in traceback.walk_tb(error.__traceback__)}
    return any(name.startswith("shoepair.") and name not in (__name__, "shoepair.cli") for name in names)


# Imported when there is a job, so that --help and --cfg need not read the schema.
def run_train(config: DictConfig) -> float | None:
    from shoepair.launch.job import train_job

    return train_job(config)


def run_evaluate(config: DictConfig) -> None:
    from shoepair.launch.job import evaluate_job

    evaluate_job(config)


def _with_our_overrides(command: str, arguments: list[str]) -> list[str]:
    """What was typed, and what follows from it: names for the jobs' folders, and a multirun for a ready-made sweep.

    Hydra's parser wants all overrides side by side: ours go to the others, wherever flags stand.

    Raises:
        UserError: if several ready-made sweeps were chosen, a group was given what is no option's name, or callbacks of
            ours are to be left out.
    """
    for argument in arguments:
        if argument.startswith("hydra="):
            raise UserError(f"{argument}: Hydra's own settings are keys, hydra.KEY=VALUE.")
        if OUR_CALLBACKS.fullmatch(argument) and argument != "hydra":  # as in --cfg hydra
            raise UserError(f"{argument}: these callbacks check runs and gather sweeps; leave them as they are.")
    flags = [argument for argument in arguments if argument in MULTIRUN][:1]
    rest = [argument for argument in arguments if argument not in MULTIRUN]
    places = [i for i, argument in enumerate(rest) if "=" in argument and argument[0] != "-"]
    overrides = parse_overrides([rest[i] for i in places])
    if not overrides:
        return [*flags, *rest]
    ours = [naming_override(overrides)]
    chosen = next((override for override in reversed(overrides) if override.key_or_group == "sweep"), None)
    if chosen is not None and chosen.is_sweep_override():
        raise UserError(f"{chosen.input_line}: expected one ready-made sweep; what it varies can be typed beside it.")
    refuse_no_option(command, rest, overrides)
    if chosen is not None and chosen.value() is not None:
        # On the command line, since Hydra 1.4 does not read hydra.mode from an option of a group.
        ours.append("hydra.mode=MULTIRUN")
    after = places[-1] + 1
    return [*flags, *rest[:after], *ours, *rest[after:]]


def _meanings(command: str, arguments: list[str]) -> contextlib.AbstractContextManager[None]:
    if not {"--help", "-h"} & set(arguments):
        return contextlib.nullcontext()
    from shoepair.launch.explained import annotated_help

    return annotated_help(command)


@contextlib.contextmanager
def _whole_sweep() -> Iterator[None]:
    """After a multirun of `train`: its leaderboard, and exit code 1 if a job failed. Nothing after anything else."""
    Sweep.current = None
    try:
        yield
    except KeyboardInterrupt:
        if Sweep.current is not None:
            say_aside(f"\n{Sweep.current.how_to_go_on()}")
        raise
    except Exception as error:
        if Sweep.current is None or "No trials are completed" not in str(error):  # so Optuna ends when all jobs failed
            raise
    if Sweep.current is not None and not Sweep.current.end():
        raise SystemExit(1)
