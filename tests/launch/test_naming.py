"""What folders of jobs are called."""

import pytest

from shoepair.launch.naming import run_label


@pytest.mark.parametrize(
    ("typed", "label"),
    [
        (["optimizer.lr=1e-3", "approach=dual"], "lr-0.001_approach-dual"),
        (["optimizer.lr=0.0031622776601683794"], "lr-0.0031623"),
        (["optimizer.betas=[0.9,0.999]", "ema_decay=null"], "betas-0.9-0.999_ema_decay-null"),
        (["optimizer._target_=torch.optim.SGD", "approach.local_layer=blocks.4"], "optimizer-SGD_local_layer-blocks.4"),
        (["seed=1", "data.seed=2", "+optimizer.amsgrad=true"], "seed-1_data.seed-2_amsgrad-true"),
        (["experiment=mine/second", "data.root='my photos'"], "experiment-mine-second_root-my-photos"),
        ([], ""),
    ],
)
def test_a_job_is_called_by_what_was_typed_for_it(typed: list[str], label: str) -> None:
    assert run_label(typed) == label
    assert run_label([*typed, "output_dir=elsewhere"], ["output_dir"]) == label


def test_a_long_name_is_made_of_whole_settings() -> None:
    parts = [f"dropout{i}-0.12346" for i in range(8)]
    label = run_label([*(f"approach.dropout{i}=0.123456789" for i in range(8)), "approach=single", "seed=1"])
    assert 100 < len(label) <= 120 and set(label.split("_")) <= {*parts, "approach-single", "seed-1"}
    assert label.split("_")[:6] == parts[:6]
    assert run_label(["data.root=" + "far/" * 40, "seed=1"]) == f"root-{'far-' * 14}far_seed-1"
