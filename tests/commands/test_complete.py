"""What the TAB key offers, asked in this process: fast enough to try many lines."""

import pytest
from conftest import run_here


def offered(line: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    monkeypatch.setenv("COMP_LINE", line)
    return set(run_here("-sc", "query=bash").out.split())


@pytest.mark.parametrize(
    ("line", "some"),
    [
        ("shoepair ", {"train", "evaluate", "compare", "match", "optimizer=", "optimizer."}),
        ("shoepair co", {"compare"}),
        ("shoepair compare --", {"--metric", "--sort", "--top", "--test", "--help"}),
        ("shoepair match --s", {"--sides"}),
        ("shoepair train data.neg", {"data.negatives="}),
        ("shoepair train data.negatives=", {"data.negatives=all", "data.negatives=cyclic"}),
        ("shoepair train data.negatives=all,cy", {"data.negatives=all,cyclic"}),
        ("shoepair train logger=[csv,ten", {"logger=[csv,tensorboard"}),
        ("shoepair train --explain data.neg", {"data.negatives"}),
        ("shoepair train experiment=best_", {"experiment=best_dual", "experiment=best_single"}),
        ("shoepair train trainer.max", {"trainer.max_epochs="}),
        ("shoepair train approach=single --he", {"--help"}),
        ("shoepair evaluate tr", {"trainer."}),
        ("shoepair evaluate data.hard", {"data.hardness="}),
    ],
)
def test_it_offers_what_can_be_typed(line: str, some: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(line, monkeypatch) >= some


@pytest.mark.parametrize(
    "line",
    ["shoepair evaluate approach", "shoepair evaluate optimizer.", "shoepair evaluate sw", "shoepair evaluate data.aug",
     "shoepair compare outputs", "shoepair zzz"],
)  # fmt: skip
def test_it_offers_nothing_that_a_command_does_not_take(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(line, monkeypatch) == set()


def test_groups_of_a_folder_of_ones_own_are_offered(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "wide.yaml").write_text("")
    assert "experiment=wide" in offered(f"shoepair train --config-dir {tmp_path} experiment=w", monkeypatch)


def test_a_folder_whose_name_has_blanks_is_one_word(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "my dir/callbacks").mkdir(parents=True)
    (tmp_path / "my dir/callbacks/note.yaml").write_text("{}\n")
    line = f"shoepair train --config-dir '{tmp_path}/my dir' callbacks=n"
    assert "callbacks=note" in offered(line, monkeypatch)


def test_a_key_is_explained_with_its_value_now() -> None:
    outcome = run_here("train", "--explain", "data.negatives")
    assert outcome.code == 0, outcome.err
    assert "Different pairs to train on" in outcome.out and "one of cyclic, all, resampled" in outcome.out
    assert outcome.out.splitlines()[-1].split() == ["Now:", "resampled"]
    assert "Now:     all" in run_here("--explain=data.negatives", "data.negatives=all").out
    assert "Now:     (to be given)" in run_here("evaluate", "--explain", "checkpoint").out
    assert "Now:     resampled" in run_here("--explain", "data.negatives=").out  # as TAB may leave it
    assert "Allowed: joblib, local, ray, slurm, submitit" in run_here("--explain", "launcher").out
    section = run_here("train", "approach=pretrained", "--explain", "approach").out
    assert "approach.encoder\n" in section and "approach.kernel_size\n" in section


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--explain"], "--explain: expected a key, such as --explain data.negatives."),
        (["--explain", "data.negativs"], "data.negativs: no such key; did you mean data.negatives?"),
    ],
)
def test_what_cannot_be_explained_is_one_line(typed: list[str], said: str) -> None:
    outcome = run_here("train", *typed)
    assert outcome.code == 2 and outcome.err == f"shoepair: {said}\n"


def test_help_says_what_each_key_means() -> None:
    shown = run_here("--help").out
    line = next(line for line in shown.splitlines() if line.strip().startswith("negative_weight:"))
    assert "Weight of a different pair in the training loss" in line
    assert "A file, the folder of a run" in run_here("evaluate", "--help").out


@pytest.mark.parametrize("typed", [["--version"], ["train", "--version"], ["compare", "--version"]])
def test_the_version_is_ours(typed: list[str]) -> None:
    from shoepair import __version__

    assert run_here(*typed).out == f"shoepair {__version__}\n"
