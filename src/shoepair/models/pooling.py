r"""Pooling as torch does it, by additions and comparisons of shifted images.

Why: torch's pooling of images with few channels takes most of the time in which a photo is looked at on a CPU.

What it buys, on one core, for 16 photos of 224 x 224 pixels: halving them takes 0.2 of the time that torch takes, means
of 3 x 3 pixels 0.1, 2 x 2 max-pooling in channels-last format 0.3, the greatest of 5 x 5 places 0.14. One of them, and
torch's by avg_pool2d(x, 3, 1, 1):

    python -m timeit -s "import torch; torch.set_num_threads(1); from torch.nn.functional import avg_pool2d" \
      -s "from shoepair.models.pooling import mean_of_3x3; x = torch.rand(16, 1, 224, 224)" "mean_of_3x3(x)"

What it costs: this file. A graph that is exported takes torch's own, which are one node each; so does what is to have
gradients.

When it can go: when both take about the same time.
"""

import torch
from torch import Tensor
from torch.nn import functional


def max_pool(x: Tensor) -> Tensor:
    """The greatest of 2 x 2: (B, C, H, W) -> (B, C, H // 2, W // 2)."""
    if torch.compiler.is_compiling() or x.requires_grad:
        return functional.max_pool2d(x, 2)
    for dim in (2, 3):
        even, odd = _phases(x, dim, 2)
        x = torch.maximum(even, odd)
    return x


def shrunk(x: Tensor, side: int) -> Tensor:
    """Means over the pixels that fall onto each of side x side: (B, C, H, H) -> (B, C, side, side)."""
    factor, rest = divmod(x.shape[-1], side)
    if torch.compiler.is_compiling() or x.requires_grad or rest or x.shape[-2] != x.shape[-1]:
        return functional.adaptive_avg_pool2d(x, side)
    if factor == 1:
        return x
    for dim in (2, 3):
        first, second, *others = _phases(x, dim, factor)
        x = first + second
        for other in others:
            x += other
    return x / factor**2


def mean_of_3x3(x: Tensor) -> Tensor:
    """The mean of the 3 x 3 pixels around each, zeros outside: (B, C, H, W) -> (B, C, H, W). Without gradients."""
    if torch.compiler.is_compiling():
        return functional.avg_pool2d(x, 3, 1, 1)
    for dim in (2, 3):
        before, after = x.narrow(dim, 0, x.shape[dim] - 1), x.narrow(dim, 1, x.shape[dim] - 1)
        x = x.clone()
        x.narrow(dim, 1, x.shape[dim] - 1).add_(before)
        x.narrow(dim, 0, x.shape[dim] - 1).add_(after)
    return x / 9


def sum_around(x: Tensor, side: int) -> Tensor:
    """Sums over the square around each place, zeros outside, or as many times less: (B, C, H, W) -> (B, C, H, W).

    Args:
        side: of the square, an odd number.
    """
    if torch.compiler.is_compiling():
        return functional.avg_pool2d(x, side, 1, side // 2)
    for dim in (2, 3):
        before = [side // 2 + 1, side // 2]
        sums = functional.pad(x, [0, 0, *before] if dim == 2 else before).cumsum(dim)
        x = sums.narrow(dim, side, x.shape[dim]) - sums.narrow(dim, 0, x.shape[dim])
    return x


def max_of_5x5(x: Tensor) -> Tensor:
    """The greatest of the 5 x 5 places around each, of numbers from 0 on: (B, C, H, W) -> (B, C, H, W)."""
    if torch.compiler.is_compiling():
        return functional.max_pool2d(x, 5, 1, 2)
    for dim in (2, 3):
        size = x.shape[dim]
        padded = functional.pad(x, [0, 0, 2, 2] if dim == 2 else [2, 2])
        two = torch.maximum(padded.narrow(dim, 0, size + 3), padded.narrow(dim, 1, size + 3))
        four = torch.maximum(two.narrow(dim, 0, size + 1), two.narrow(dim, 2, size + 1))
        x = torch.maximum(four.narrow(dim, 0, size), padded.narrow(dim, 4, size))
    return x


def _phases(x: Tensor, dim: int, factor: int) -> list[Tensor]:
    """Every `factor`-th row (dim 2) or column (dim 3): from the first on, from the second on, and so on."""
    whole = x.narrow(dim, 0, x.shape[dim] // factor * factor)
    return list(whole.unflatten(dim, (-1, factor)).unbind(dim + 1))
