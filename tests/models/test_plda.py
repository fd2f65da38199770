"""Probabilistic linear discriminant analysis, against the normal distributions that it is made of."""

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from shoepair.models.plda import LEAST_BETWEEN, PLDA


def drawn(num_classes: int, num_views: int, within: Tensor, between: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Vectors of the two-covariance model, (num_classes * num_views, dims), and their classes."""
    torch.manual_seed(seed)
    means = MultivariateNormal(torch.zeros(len(between)), between).sample((num_classes,)) + 3.0
    noise = MultivariateNormal(torch.zeros(len(within)), within).sample((num_classes, num_views))
    return (means[:, None] + noise).flatten(0, 1), torch.arange(num_classes).repeat_interleave(num_views)


def log_prob(distribution: MultivariateNormal, vectors: Tensor) -> Tensor:
    logarithms: Tensor = distribution.log_prob(vectors)  # type: ignore[no-untyped-call]
    return logarithms


def covariance(dims: int, seed: int) -> Tensor:
    torch.manual_seed(seed)
    root = torch.randn(dims, dims)
    return root @ root.T / dims + 0.2 * torch.eye(dims)


def test_the_ratio_is_that_of_the_normal_distributions() -> None:
    plda = PLDA(6, 4).double()
    plda.fit(*drawn(300, 4, covariance(6, 1), covariance(6, 2)))
    one, other = drawn(50, 2, covariance(6, 1), covariance(6, 2), seed=1)[0].double().unflatten(0, (50, 2)).unbind(1)
    left, right = ((vectors - plda.mean) @ plda.directions for vectors in (one, other))
    total, between = torch.diag(1 + plda.between), torch.diag(plda.between)
    both = MultivariateNormal(
        torch.zeros(8).double(), torch.cat([torch.cat([total, between], 1), torch.cat([between, total], 1)])
    )
    alone = MultivariateNormal(torch.zeros(4).double(), total)
    expected = log_prob(both, torch.cat([left, right], 1)) - log_prob(alone, left) - log_prob(alone, right)
    torch.testing.assert_close(plda.scores(one, other)[:, 0], expected / 4)
    torch.testing.assert_close(plda.scores(other, one), plda.scores(one, other))


def test_it_finds_both_covariances() -> None:
    within, between = covariance(5, 3), covariance(5, 4)
    plda = PLDA(5, 5)
    plda.fit(*drawn(20_000, 5, within, between))
    seen = (plda.directions.T @ within @ plda.directions).diagonal()
    # But for what is added in every direction, the variance within classes is 1.
    added = 0.3 * within.diagonal().mean() * plda.directions.square().sum(0)
    torch.testing.assert_close(seen + added, torch.ones(5), rtol=0.05, atol=0)
    torch.testing.assert_close(plda.mean, torch.full((5,), 3.0), rtol=0.02, atol=0)
    found = plda.directions.T @ between @ plda.directions
    torch.testing.assert_close(found.diagonal(), plda.between, rtol=0.1, atol=0.02)
    assert (found - torch.diag(found.diagonal())).abs().max() < 0.05


def test_what_differs_within_classes_counts_for_little() -> None:
    """The first direction tells classes apart, the second one only views, and much more."""
    within, between = torch.diag(torch.tensor([0.1, 9.0])), torch.diag(torch.tensor([3.0, 0.01]))
    plda = PLDA(2, 2)
    plda.fit(*drawn(100, 6, within, between))
    vectors, _ = drawn(200, 2, within, between, seed=1)
    one, other = vectors.unflatten(0, (200, 2)).unbind(1)
    same, different = plda.scores(one, other), plda.scores(one, other.roll(1, 0))
    distance = (one - other).norm(dim=1), (one - other.roll(1, 0)).norm(dim=1)

    def right(same: Tensor, different: Tensor) -> float:
        return float((same[:, None] > different[None]).float().mean())

    assert right(-distance[0], -distance[1]) < 0.68
    assert right(same[:, 0], different[:, 0]) > 0.7
    assert right(same[:, 1], different[:, 1]) > 0.7
    assert right(-same[:, 2], -different[:, 2]) > 0.7


@pytest.mark.parametrize("num_vectors", [2, 8])
@pytest.mark.parametrize("alike", [False, True])
def test_however_little_there_is_to_learn_from_it_says_something(num_vectors: int, alike: bool) -> None:
    """Fewer vectors than directions; all of one class; all the same."""
    torch.manual_seed(0)
    vectors = torch.nn.functional.normalize(torch.randn(num_vectors, 40), dim=1)
    if alike:
        vectors = vectors[:1].expand(num_vectors, -1)
    for classes in (torch.zeros(num_vectors), torch.arange(num_vectors) // 2):
        plda = PLDA(40, 60)
        assert plda.between.shape == (40,)
        plda.fit(vectors, classes)
        assert plda.scores(vectors, vectors.flip(0)).isfinite().all()
        assert (plda.between >= LEAST_BETWEEN).all()
