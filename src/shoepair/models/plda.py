"""How much likelier two vectors are of one class than of two: probabilistic linear discriminant analysis."""

import torch
from torch import Tensor, nn

NUM_SCORES = 3
SHRINKAGE = 0.3  # so much of the mean variance within classes is added in every direction
LEAST_BETWEEN = 1e-3  # the least variance between classes in any direction, where that within them is 1


class PLDA(nn.Module):
    """The two-covariance model: a vector is the mean of its class and noise, both normally distributed.

    Classes that are known by several vectors each say how far vectors of one class lie apart, and how far classes do:
    directions in which the views of a shoe differ as much as shoes do then count for little. What holds of classes that
    were seen holds of others. Ioffe, "Probabilistic Linear Discriminant Analysis" (ECCV 2006); Brümmer and de Villiers,
    "The Speaker Partitioning Problem" (Odyssey 2010).

    Args:
        in_dims: of the vectors.
        dims: so many directions count, those in which vectors vary most.
    """

    mean: Tensor
    directions: Tensor  # after these, independent of each other, the variance within classes, shrunk, is 1
    between: Tensor  # the variance between classes

    def __init__(self, in_dims: int, dims: int) -> None:
        super().__init__()
        dims = min(dims, in_dims)
        self.register_buffer("mean", torch.zeros(in_dims))
        self.register_buffer("directions", torch.eye(in_dims, dims))
        self.register_buffer("between", torch.ones(dims))

    @torch.no_grad()
    def fit(self, vectors: Tensor, classes: Tensor) -> None:
        """Learn from vectors, (N, in_dims), and their classes, (N,) of any numbers."""
        vectors = vectors.cpu().double()
        mean, dims = vectors.mean(0), len(self.between)
        centred = vectors - mean
        directions = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -dims:]
        values = centred @ directions
        _, classes, counts = classes.cpu().unique(return_inverse=True, return_counts=True)
        means = values.new_zeros(len(counts), dims).index_add_(0, classes, values) / counts[:, None]
        noise = values - means[classes]
        within = noise.T @ noise / max(1, len(noise) - len(means))  # as each class's mean took one
        between = means.T @ means / len(means) - within / counts.double().mean()
        added = SHRINKAGE * within.diagonal().mean().clamp_min(1e-12)
        whitening = torch.linalg.inv(torch.linalg.cholesky(within + added * torch.eye(dims))).T
        variances, turn = torch.linalg.eigh(whitening.T @ between @ whitening)
        self.mean.copy_(mean.float())
        self.directions.copy_((directions @ whitening @ turn).float())
        self.between.copy_(variances.clamp_min(LEAST_BETWEEN).float())

    def scores(self, one: Tensor, other: Tensor) -> Tensor:
        """Of pairs of vectors, (N, in_dims) each: (N, NUM_SCORES).

        The logarithm of how much likelier they are of one class than of two, a mean over the directions; and cosine and
        distance, where every direction counts by the part of its variance that lies between classes.
        """
        one, other = ((vectors - self.mean) @ self.directions for vectors in (one, other))
        total = 1 + self.between
        determinant = 1 + 2 * self.between  # of the covariance of both, if of one class
        squares = one.square() + other.square()
        together = (total * squares - 2 * self.between * one * other) / determinant
        ratio = (squares / total - together - torch.log(determinant / total.square())) / 2
        part = (self.between / total).sqrt()
        one, other = one * part, other * part
        cosine = (nn.functional.normalize(one, dim=1) * nn.functional.normalize(other, dim=1)).sum(1)
        distance = (one - other).square().sum(1).sqrt()
        return torch.stack([ratio.mean(1), cosine, distance], dim=1)
