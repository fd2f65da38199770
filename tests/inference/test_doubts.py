"""Photos that nobody should judge shoes by are said to be so, and why."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from shoepair.data.synthetic.collection import draw_shoes
from shoepair.inference.classifier import Verdict, doubted, verdict_of
from shoepair.inference.doubts import REMEDIES, Looks, look
from shoepair.models.cutout import CutOut


@pytest.fixture(scope="module")
def shoes() -> Tensor:
    """Twelve photos of drawn shoes, RGB from 0 to 1."""
    drawn = draw_shoes(num_people=2, num_test_people=0, image_size=224, seed=5, hardness=0.5, own_scenes=1.0)
    return drawn["train"].images.float() / 255


def looks(photos: Tensor, extent: tuple[float, float] = (1.0, 1.0)) -> Looks:
    cut_out = CutOut(112).eval()
    with torch.inference_mode():
        return look(photos - 0.5, cut_out.likely(photos - 0.5), [extent] * len(photos))


def test_a_good_photo_is_not_doubted(shoes: Tensor) -> None:
    assert looks(shoes).doubts() == [None] * 12


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda x: 0.1 * x, "is too dark"),
        (lambda x: (x + 0.9).clamp(0, 1), "is too bright"),
        (lambda x: torch.full_like(x, 0.6), "shows no shoe"),
        (lambda x: x.flip(-1)[..., :1].expand_as(x), "shows no shoe"),
        (lambda x: interpolate(avg_pool2d(x, 16), scale_factor=16, mode="bilinear"), "is blurred"),
    ],
)
def test_what_is_wrong_is_named(shoes: Tensor, spoil: object, said: str) -> None:
    found = looks(spoil(shoes)).doubts()  # type: ignore[operator]
    assert found.count(said) >= 9 and said in REMEDIES


def test_a_shoe_cut_off_is_found_at_the_photos_own_edge() -> None:
    """A bar that leaves the photo, whose sides are padding."""
    found = torch.zeros(1, 1, 56, 56)
    found[..., 14:42, 20:36] = 1.0
    photo = torch.rand(1, 3, 112, 112)
    assert look(photo - 0.5, found, [(1.0, 1.0)]).cut_off == 0
    narrow = look(photo - 0.5, found, [(16 / 56, 1.0)])  # its edges are the bar's long sides
    assert narrow.cut_off == pytest.approx(2 * 28 / (28 * 16) ** 0.5)
    assert narrow.doubts() == ["shows only a part of the shoe"]


@pytest.mark.parametrize(("width", "doubt"), [(4, None), (10, "shows more than one thing")])
def test_two_pieces_of_nearly_one_size_are_two_things(width: int, doubt: str | None) -> None:
    found = torch.zeros(1, 1, 56, 56)
    found[..., 8:48, 6:18] = 1.0
    found[..., 8:48, 30 : 30 + width] = 1.0
    measured = look(torch.rand(1, 3, 112, 112) - 0.5, found, [(1.0, 1.0)])
    assert measured.shoe == pytest.approx(12 * 40 / 56**2) and measured.second_piece == pytest.approx(width / 12)
    assert measured.doubts() == [doubt]


def test_without_a_shoe_every_figure_is_a_number() -> None:
    measured = look(torch.zeros(2, 3, 64, 64), torch.zeros(2, 1, 56, 56), [(1.0, 0.01), (0.5, 1.0)])
    assert all(value.isfinite().all() for value in vars(measured).values())
    assert measured.doubts() == ["shows no shoe"] * 2


def test_a_doubt_makes_any_verdict_unsure_and_says_why_and_what_helps() -> None:
    sure = verdict_of(4.0)
    assert sure.answer == "same" and doubted(sure, None, None) is sure
    unsure = doubted(sure, "is too dark", "is blurred")
    assert (unsure.same, unsure.probability, unsure.answer) == (True, sure.probability, "not sure")
    assert unsure.reasons == ("the left photo is too dark", "the right photo is blurred")
    assert unsure.sentence == (
        "Not sure: the left photo is too dark and the right photo is blurred; take it again with more light."
    )


@pytest.mark.parametrize(
    ("logit", "threshold", "margin", "answer"),
    [
        (2.0, 0.0, 1.9, "same"),
        (2.0, 0.0, 2.1, "not sure"),
        (-2.0, 0.0, 1.9, "different"),
        (-2.0, 0.0, 2.1, "not sure"),
        (0.5, 0.0, 0.0, "not sure"),  # 62 %
        (0.7, 0.0, 0.0, "same"),  # 66 %
        (0.7, 1.0, 0.0, "not sure"),  # more was asked for
        (0.5, -1.0, 0.0, "same"),  # so many false matches are allowed
    ],
)
def test_the_answer_follows_from_logit_threshold_and_margin(
    logit: float, threshold: float, margin: float, answer: str
) -> None:
    verdict: Verdict = verdict_of(logit, threshold, margin)
    assert verdict.answer == answer
    assert verdict.sentence.startswith("Not sure") == (answer == "not sure")
    assert np.isclose(verdict.probability, 1 / (1 + np.exp(-logit)))
