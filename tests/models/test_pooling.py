"""Pooling by shifted images, against torch's own."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from shoepair.models.cutout import Segmenter, _affine_grid
from shoepair.models.pooling import max_of_5x5, max_pool, mean_of_3x3, shrunk, sum_around


def images(height: int, width: int, *, channels_last: bool = False) -> Tensor:
    values = torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    return values.contiguous(memory_format=torch.channels_last) if channels_last else values


CASES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "max_pool": (max_pool, lambda x: functional.max_pool2d(x, 2)),
    "halved": (lambda x: shrunk(x, x.shape[-1] // 2), lambda x: functional.adaptive_avg_pool2d(x, x.shape[-1] // 2)),
    "a_third": (lambda x: shrunk(x, x.shape[-1] // 3), lambda x: functional.adaptive_avg_pool2d(x, x.shape[-1] // 3)),
    "unchanged": (lambda x: shrunk(x, x.shape[-1]), lambda x: functional.adaptive_avg_pool2d(x, x.shape[-1])),
    "uneven": (lambda x: shrunk(x, 5), lambda x: functional.adaptive_avg_pool2d(x, 5)),
    "mean_of_3x3": (mean_of_3x3, lambda x: functional.avg_pool2d(x, 3, 1, 1)),
    "sum_around": (lambda x: sum_around(x, 7) / 49, lambda x: functional.avg_pool2d(x, 7, 1, 3)),
    "max_of_5x5": (lambda x: max_of_5x5(x.abs()), lambda x: functional.max_pool2d(x.abs(), 5, 1, 2)),
}


@pytest.mark.parametrize("size", [(12, 12), (13, 13), (12, 18)])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_it_is_what_torch_computes(case: str, channels_last: bool, size: tuple[int, int]) -> None:
    ours, torchs = CASES[case]
    x = images(*size, channels_last=channels_last)
    before = x.clone()
    torch.testing.assert_close(ours(x), torchs(x))
    assert torch.equal(x, before)  # nothing is changed in place


def test_nothing_is_lost_to_a_number_that_is_none() -> None:
    x = images(8, 8)
    x[0, 0, 3, 3] = torch.nan
    assert max_pool(x).isnan().any() and shrunk(x, 4).isnan().any() and mean_of_3x3(x).isnan().sum() == 9


def test_gradients_are_torchs() -> None:
    for pooled, torchs in (CASES["max_pool"], CASES["halved"]):
        ours, theirs = (images(8, 8).requires_grad_() for _ in range(2))
        pooled(ours).square().sum().backward()
        torchs(theirs).square().sum().backward()
        assert ours.grad is not None and theirs.grad is not None
        torch.testing.assert_close(ours.grad, theirs.grad)


def test_a_grid_is_torchs() -> None:
    from_where = torch.randn(3, 2, 3, generator=torch.Generator().manual_seed(0))
    expected = functional.affine_grid(from_where, [3, 1, 20, 20], align_corners=False)
    torch.testing.assert_close(_affine_grid(from_where, 20), expected)


def test_the_segmenters_norms_may_be_a_part_of_its_convolutions() -> None:
    torch.manual_seed(0)
    segmenter = Segmenter()
    for _ in range(3):  # moves the running statistics
        segmenter(torch.rand(4, 3, 112, 112) - 0.5)
    segmenter.eval()
    photos = torch.rand(2, 3, 112, 112) - 0.5
    with torch.no_grad():
        found = segmenter(photos)
        for block in (*segmenter.down, *segmenter.up):
            block.training = True  # so that it takes its layers one by one; these stay in evaluation
        torch.testing.assert_close(found, segmenter(photos), rtol=1e-4, atol=1e-5)
