r"""Depthwise convolutions that train in float32 on a CPU where the rest of the network computes in bfloat16.

Why: oneDNN has no fast bfloat16 gradients of those with more than 3 x 3 weights or with a stride (torch 2.14).

What it buys: such a layer takes 1.7 to 8 times as long in bfloat16 as in float32, and a training step of
EfficientNet-Lite0 (84 images of 160 pixels, both cores free) 1.5 times as long. One layer, also with t = torch.float32:

    python -m timeit -n 3 -s "import torch; t = torch.bfloat16" \
      -s "x = torch.randn(84, 672, 14, 14, dtype=t).to(memory_format=torch.channels_last).requires_grad_()" \
      -s "w = torch.randn(672, 1, 5, 5, dtype=t, requires_grad=True)" \
      "torch.conv2d(x, w, stride=2, padding=2, groups=672).sum().backward()"

What it costs: layers change their class after they were made, to one without a name, so that copy and pickle have to be
told how to make it; two casts a layer.

When it can go: when both commands take about the same time.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn


class _TrainedInFloat32:
    """Mixed into a layer: on a CPU it trains in float32 where the rest of the network computes in bfloat16."""

    def forward(self, x: Tensor) -> Tensor:
        layer: Any = super()
        weight: Any = self
        trains = torch.is_grad_enabled() and (x.requires_grad or weight.weight.requires_grad)
        if x.device.type != "cpu" or not (trains and torch.is_autocast_enabled("cpu")):
            outputs: Tensor = layer.forward(x)
        else:
            with torch.autocast("cpu", enabled=False):
                outputs = layer.forward(x.float()).to(x.dtype)
        return outputs

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By the class that it was mixed into, since this one has no name to be found by."""
        return _empty_layer, (type(self).__mro__[2],), self.__dict__


@functools.cache
def _trained_in_float32(kind: type[nn.Conv2d]) -> type[nn.Conv2d]:
    return type(kind.__name__, (_TrainedInFloat32, kind), {})


def _empty_layer(kind: type[nn.Conv2d]) -> nn.Conv2d:
    made = _trained_in_float32(kind)  # type: ignore[arg-type]
    return made.__new__(made)


def with_quick_gradients(network: nn.Module) -> nn.Module:
    """The same network, whose depthwise convolutions of more than 3 x 3 or with a stride train in float32 on a CPU.

    Names and weights stay as they are.
    """
    for layer in network.modules():
        if not isinstance(layer, nn.Conv2d) or layer.groups == 1 or layer.groups != layer.in_channels:
            continue
        if max(layer.stride) > 1 or max(layer.kernel_size) > 3:
            kind = type(layer)  # it may be a subclass that pads in its own way
            layer.__class__ = _trained_in_float32(kind)  # type: ignore[arg-type]
    return network
