"""What values are called, and when two are the same."""

import pytest

from shoepair.config.shown import ABSENT, exact, identity, short_names, shown, shown_apart


@pytest.mark.parametrize(
    ("value", "called"),
    [
        (0.9, "0.9"), (5.0, "5"), (3e-4, "0.0003"), (1e30, "1e+30"), (4294967295, "4294967295"), (True, "true"),
        (None, "null"), ([0.9, 0.999], "[0.9, 0.999]"), ([None, [1, "a"]], "[null, [1, a]]"), ({"a": 1}, "{a: 1}"),
        ("blocks.4", "blocks.4"), ("photos.v2/train", "photos.v2/train"), (0.0031622776601, "0.0031623"), ("", ""),
        ("[a, b]", "'[a, b]'"), (["a, b"], "['a, b']"), (["a", "b"], "[a, b]"),
        (["", " a", "it's"], "['', ' a', it's]"), ({"a: b": 1, "c": "d}"}, "{'a: b': 1, c: 'd}'}"),
        ("null", "'null'"), ("1e-3", "'1e-3'"), ("true", "'true'"), (ABSENT, "-"),
    ],
)  # fmt: skip
def test_a_value_is_called_as_it_is_typed(value: object, called: str) -> None:
    assert shown(value, "approach.local_layer") == called


def test_of_a_class_the_last_part_is_enough_and_of_nothing_else() -> None:
    assert shown("torch.optim.AdamW", "optimizer._target_") == "AdamW"
    assert shown("torch.optim.AdamW", "optimizer.name") == "torch.optim.AdamW"


def test_different_values_beside_one_another_are_never_called_alike() -> None:
    assert shown_apart([0.9999991, 0.9999992, 0.5]) == ["0.9999991", "0.9999992", "0.5"]
    assert shown_apart([0.00312345678, 0.25]) == ["0.0031235", "0.25"]
    assert shown_apart(["torch.optim.Adam", "mine.Adam"], "optimizer._target_") == ["torch.optim.Adam", "mine.Adam"]
    assert shown_apart([1, 1.0, "1", None, "null"]) == ["1", "1", "'1'", "null", "'null'"]


def test_an_exact_value_has_all_its_digits() -> None:
    assert [exact(value) for value in (0.0031622776601, 5.0, [0.1, 1e-7])] == ["0.0031622776601", "5", "[0.1, 1e-07]"]


def test_values_are_the_same_by_what_they_are_and_not_by_how_they_are_written() -> None:
    for one, other in ((5, 5.0), ([1, 2.0], (1.0, 2)), ({"a": 1, "b": None}, {"b": None, "a": 1.0}), (None, None)):
        assert identity(one) == identity(other) and hash(identity(one)) == hash(identity(other))
    distinct = [0, 1, False, True, None, "null", "1", "", [], [1], [[1]], {}, {"a": 1}, ABSENT, "-"]
    assert len({identity(value) for value in distinct}) == len(distinct)


def test_one_batch_is_not_all_batches() -> None:
    key = "trainer.limit_train_batches"
    assert identity(1, key) != identity(1.0, key) and shown_apart([1, 1.0, 0.5], key) == ["1", "1.0", "0.5"]


def test_a_short_name_still_tells_a_key_from_the_others() -> None:
    keys = ["optimizer.lr", "seed", "data.seed", "approach.name", "optimizer._target_", "scheduler._target_"]
    assert list(short_names(keys).values()) == ["lr", "seed", "data.seed", "approach", "optimizer", "scheduler"]
