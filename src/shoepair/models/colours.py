"""What colours the places of a shoe have, and how they vary together over the places where two shoes look alike.

Another light makes all of a shoe's places brighter or warmer by the same factors, which logarithms turn into the same
amounts, and correlations leave those out: but for what is nearly black, or too bright for the camera.
"""

import torch
from torch import Tensor

from shoepair.models.local import LocalFeatures, dual_softmax
from shoepair.models.pooling import shrunk

NUM_COLOURS = 3  # numbers that place_colours() gives of a place
COLOUR_WEIGHT = 0.5  # what a head on how colours agree counts where the one on whole shoes counts 1
DARKEST = 0.02  # added to linear light, 1 at most: below it cameras note little but noise
# Added to the product of both shoes' standard deviations: the less they vary, the nearer to 0 is what is said of them.
LEAST_SPREAD = (1e-2, 2e-3, 2e-3)


def place_colours(cut_outs: Tensor, side: int) -> Tensor:
    """How bright each of side x side places is, how much redder than green, and how much yellower than blue, in
    logarithms of the mean linear light of the shoe in it: (B, 4, H, W) -> (B, NUM_COLOURS, side**2).
    """
    cut_outs = cut_outs.float()
    cover = cut_outs[:, 3:]
    shoe = (cover > 0.5).float()
    values = (cut_outs[:, :3] / cover.clamp_min(0.5) + 0.5).clamp(0, 1)
    linear = torch.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)  # IEC 61966-2-1
    light = shrunk(linear * shoe, side) / shrunk(shoe, side).clamp_min(1e-3)
    red, green, blue = (light + DARKEST).log().flatten(2).unbind(1)
    return torch.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], dim=1)


def colour_agreement(one: LocalFeatures, other: LocalFeatures, alike: Tensor) -> Tensor:
    """The correlations of two shoes' colours over the pairs of their places, the same when the shoes change places:
    (B, NUM_COLOURS), from -1 to 1.

    A pair counts as far as the two are each most like the other. None is chosen, so that the last bits of a similarity
    decide nothing.

    Args:
        one, other: whose maps are place_colours().
        alike: what similarities() gives.
    """
    together = dual_softmax(alike.float() + one.handicap[:, :, None] + other.handicap[:, None])
    together = together / together.sum((1, 2), keepdim=True)
    weight_one, weight_other = together.sum(2)[:, None], together.sum(1)[:, None]
    here, there = (
        shoe.maps - (shoe.maps * weight).sum(2, keepdim=True)
        for shoe, weight in ((one, weight_one), (other, weight_other))
    )
    covariance = ((here @ together) * there).sum(2)
    variances = (here.square() * weight_one).sum(2) * (there.square() * weight_other).sum(2)
    return covariance / (variances.sqrt() + covariance.new_tensor(LEAST_SPREAD))
