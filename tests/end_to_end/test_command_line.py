"""The program as a process of its own: how it is found, how fast it answers, how it completes, how it installs."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TINY

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("shoepair")


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, env={**os.environ, **environment}
    )


@pytest.fixture(scope="session")
def seconds_to_import(tmp_path_factory: pytest.TempPathFactory) -> float:
    """What this machine takes to import what any command with a configuration needs: a yardstick for its answers."""
    libraries = "import hydra, hydra.main, hydra.compose, omegaconf, pydantic, numpy"
    return min(timed(sys.executable, "-c", libraries, cwd=tmp_path_factory.mktemp("import"))[0] for _ in range(3))


def timed(*command: str | Path, cwd: Path, **environment: str) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Seconds of a core, which a busy machine disturbs less than those of the clock."""
    before = os.times()
    done = run(*command, cwd=cwd, **environment)
    after = os.times()
    user, system = after.children_user - before.children_user, after.children_system - before.children_system
    return user + system, done


@pytest.mark.parametrize("typed", ["--help", "evaluate --help", "--cfg job", "optimizer.lr=fast", "+trainer.foo=1",
                                   "data=photos data.root=nowhere", "-m seed=0,x", "--info defaults",
                                   "predict --help", "predict one.jpg two.jpg", "match --help", "match nowhere",
                                   "export --help", "compare nowhere", "draw --help"])  # fmt: skip
def test_answers_without_importing_torch(tmp_path: Path, typed: str, seconds_to_import: float) -> None:
    # Poison torch: what answers all the same has not imported it.
    (tmp_path / "torch.py").write_text("raise SystemExit('torch was imported')")
    places = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    took = []
    for _ in range(3):  # what else the machine does can only add to its time
        seconds, done = timed(PROGRAM, *typed.split(), cwd=tmp_path, PYTHONPATH=places)
        assert "torch was imported" not in done.stderr + done.stdout
        assert done.returncode == (0 if typed.split()[-1].startswith("--") or "--" in typed else 2)
        took.append(seconds / seconds_to_import)
        if took[-1] < 5:
            break
    assert min(took) < 5, f"{typed} took {min(took):.1f} times as long as importing Hydra, pydantic and numpy"


@pytest.mark.parametrize("typed", ["--help", "seed=1", "-m seed=1,2", "predict one.jpg two.jpg", "compare ."])
@pytest.mark.parametrize("limit_kb", [40_000, 100_000, 200_000])
def test_a_limit_that_leaves_next_to_no_memory_is_refused(tmp_path: Path, typed: str, limit_kb: int) -> None:
    done = run("sh", "-c", f"ulimit -v {limit_kb}; exec {shlex.quote(str(PROGRAM))} {typed}", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.startswith("shoepair: a limit leaves ") and done.stderr.count("\n") == 1


def test_help_shows_groups_options_keys_and_examples(tmp_path: Path) -> None:
    shown = run(PROGRAM, "--help", cwd=tmp_path).stdout
    for expected in (
        "approach: dual, histogram, pretrained, single", "data: photos, synthetic, table",
        "optimizer: adam, adamw, lbfgs, sgd",
        "scheduler: constant, cosine, onecycle, plateau", "shoepair evaluate checkpoint=latest", "max_epochs: ",
        'eval "$(shoepair -sc install=bash)"',
    ):  # fmt: skip
        assert expected in shown


def test_examples_of_the_help_compose(tmp_path: Path) -> None:
    shown = run(PROGRAM, "--help", cwd=tmp_path).stdout
    examples = [line.strip() for line in shown.splitlines() if line.strip().startswith("shoepair train ")]
    assert len(examples) >= 3
    for example in examples:
        typed = [word for word in example.split()[1:] if word != "-m"]
        typed = [word.split(",")[0] for word in typed]
        done = run(PROGRAM, *typed, "--cfg", "job", cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_module_and_script_are_the_same_program(tmp_path: Path) -> None:
    script = run(PROGRAM, "train", "seed=3", "--cfg", "job", cwd=tmp_path)
    module = run(sys.executable, "-m", "shoepair", "seed=3", "--cfg", "job", cwd=tmp_path)
    assert script.stdout == module.stdout and "seed: 3" in script.stdout


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("shoepair train optimizer=", {"optimizer=adam", "optimizer=adamw", "optimizer=lbfgs", "optimizer=sgd"}),
        ("shoepair optimizer=", {"optimizer=adam", "optimizer=adamw", "optimizer=lbfgs", "optimizer=sgd"}),
        ("shoepair train optimizer.lr", {"optimizer.lr="}),
        ("shoepair eva", {"evaluate"}),
        ("shoepair evaluate che", {"checkpoint="}),
        ("shoepair evaluate data=", {"data=photos", "data=synthetic", "data=table"}),
    ],
)
def test_completion(tmp_path: Path, line: str, expected: set[str]) -> None:
    done = run(PROGRAM, "-sc", "query=bash", cwd=tmp_path, COMP_LINE=line)
    assert set(done.stdout.split()) == expected


def test_completion_works_in_bash_itself(tmp_path: Path) -> None:
    script = f"""
        export PATH={PROGRAM.parent}:$PATH
        eval "$(shoepair -sc install=bash)"
        COMP_LINE="shoepair train data="; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=(shoepair train data=); COMP_CWORD=2
        hydra_bash_completion; echo "${{COMPREPLY[@]}}"
    """
    done = run("bash", "-c", script, cwd=tmp_path)
    assert done.stdout.split() == ["data=photos", "data=synthetic", "data=table"], done.stderr


@pytest.mark.slow
def test_two_processes_train_together_and_evaluate_to_the_same_figures(tmp_path: Path) -> None:
    two = ("trainer.accelerator=cpu", "trainer.devices=2", "+trainer.strategy=ddp")
    done = run(PROGRAM, *TINY, "trainer=ddp", "trainer.accelerator=cpu", "hydra.run.dir=outputs/ddp", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "outputs/ddp/results.json").read_text())["splits"]
    for name, more in (("one", ()), ("two", two)):
        done = run(PROGRAM, "evaluate", "checkpoint=outputs/ddp", *more, f"hydra.run.dir=outputs/{name}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads((tmp_path / f"outputs/{name}/results.json").read_text())["splits"] == figures


@pytest.mark.slow
def test_an_installed_wheel_carries_its_configuration(tmp_path: Path) -> None:
    """Not editable, and run from an empty folder; the dependencies are borrowed from this environment."""
    target = tmp_path / "site"
    built = run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation",
                "--target", target, ROOT, cwd=tmp_path)  # fmt: skip
    assert built.returncode == 0, built.stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(sys.executable, "-c", "import shoepair; print(shoepair.__file__)", cwd=empty, PYTHONPATH=str(target))
    assert where.stdout.startswith(str(target))
    done = run(sys.executable, "-m", "shoepair", *TINY, cwd=empty, PYTHONPATH=str(target))
    assert done.returncode == 0, done.stderr
    assert list((empty / "outputs").glob("*/results.json"))


@pytest.mark.parametrize("typed", ["--help", "train --cfg job", "evaluate --help", "--version", "predict --help"])
def test_nothing_is_said_where_nobody_reads_on(tmp_path: Path, typed: str) -> None:
    """As in `shoepair --help | head -1`."""
    with subprocess.Popen(
        [PROGRAM, *typed.split()], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""


@pytest.mark.parametrize(
    ("ending", "code"),
    [("pass", 0), ("sys.exit(2)", 2), ("sys.exit()", 0), ("sys.exit('wrong')", 1)],
)
def test_a_command_ends_without_torch_taking_its_time_but_leaves_nothing_undone(
    tmp_path: Path, ending: str, code: int
) -> None:
    # `torch` would wait for long after everything else; other threads and what is to be tidied up come before.
    (tmp_path / "torch.py").write_text(
        "import time\nclass Slow:\n    def __del__(self):\n        time.sleep(30)\nslow = Slow()\n"
    )
    (tmp_path / "command.py").write_text(
        "import atexit, sys, tempfile, threading, time, torch\n"
        "from pathlib import Path\n"
        "from shoepair import cli\n"
        "def main():\n"
        "    atexit.register(print, 'tidied')\n"
        "    threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()\n"
        "    folder = tempfile.TemporaryDirectory(dir='.', ignore_cleanup_errors=True)\n"
        "    main.folder, main.file = folder, open('left_open.txt', 'w')\n"
        "    main.file.write('all of it')\n"
        "    print('said', end=' ')\n"
        f"    {ending}\n"
        "cli.main = main\n"
        "cli.program()\n"
    )
    places = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    with (tmp_path / "out.txt").open("w") as out:
        done = subprocess.run(
            [sys.executable, "command.py"], cwd=tmp_path, stdout=out, stderr=subprocess.PIPE, text=True, timeout=25,
            env={**os.environ, "PYTHONPATH": places},
        )  # fmt: skip
    assert done.returncode == code
    assert (tmp_path / "out.txt").read_text() == "said thread\ntidied\n"
    assert done.stderr == ("wrong\n" if "wrong" in ending else "")
    assert (tmp_path / "left_open.txt").read_text() == "all of it"
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"torch.py", "command.py", "out.txt", "left_open.txt", "__pycache__"}
