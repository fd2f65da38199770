"""Whatever a key is given, the check accepts it or answers in one line that names it."""

import copy
import re
from functools import cache
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from hypothesis import given, settings
from hypothesis import strategies as st
from torture.settings import check, extremes, sections

from shoepair.config.read import read_train_settings
from shoepair.errors import UserError
from shoepair.launch.preflight import plain_values
from shoepair.terminal import on_one_line

REMOVED = object()
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.just({}),
    st.just(REMOVED),
    st.sampled_from([10**400, -(10**5000), 10**12, "a" * 3000, "a" * 300, "a/b", "\udcff", "a\0", "\n", "???", [[1]]]),
)  # fmt: skip
CHOSEN = [
    (f"approach={approach}", f"optimizer={optimizer}", f"scheduler={scheduler}", f"mode={mode}")
    for approach, optimizer, scheduler, mode in (
        ("dual", "adam", "onecycle", "fit"), ("single", "sgd", "plateau", "sanity"),
        ("pretrained", "adamw", "cosine", "fit"), ("histogram", "sgd", "constant", "fit"),
    )
]  # fmt: skip


@cache
def composed(*typed: str) -> dict[str, Any]:
    with initialize_config_module("shoepair.conf"):
        return plain_values(compose("train", list(typed)))


def changed(plain: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    plain = copy.deepcopy(plain)
    *parents, name = key.split(".")
    node: Any = plain
    for parent in parents:
        node = node.get(parent)
        if not isinstance(node, dict):
            return plain
    node.pop(name, None)
    if value is not REMOVED:
        node[name] = value
    return plain


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CHOSEN), st.data())
def test_the_check_accepts_or_answers_in_one_line(typed: tuple[str, ...], data: st.DataObject) -> None:
    keys = sections()
    plain = composed(*typed)
    for _ in range(data.draw(st.integers(1, 2))):
        key = data.draw(st.sampled_from([*keys, "approach", "data", "optimizer", "scheduler", "trainer", "sanity"]))
        typed_edges = extremes(keys[key]) if key in keys else []
        edges = [float(edge) if re.search(r"[.e]", edge) else int(edge) for edge in typed_edges]
        plain = changed(plain, key, data.draw(st.one_of(VALUES, st.sampled_from(edges)) if edges else VALUES))
    try:
        read_train_settings(plain)
    except UserError as error:
        said = on_one_line(str(error))
        assert re.match(r"[\w.]+(=|:| was removed)", said) and len(said) < 1000, said


@pytest.mark.long
@pytest.mark.slow
def test_what_is_typed_is_accepted_or_answered_in_one_line() -> None:
    counts = check(40, seed=1)
    assert not counts.wrong, counts
