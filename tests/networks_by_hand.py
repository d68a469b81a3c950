"""The image networks read a second time, from tables of their own, over any arrays.

Maps are [n, channels, h, w], as PyTorch has them. `Numpy` and `Torch` are the same few
operations; the first is slow, in float64.
"""

import numpy as np


class Numpy:
    """Operations on float64 arrays."""

    @staticmethod
    def array(values):
        return np.asarray(values, np.float64)

    @staticmethod
    def windows(maps, size, stride, pads, fill):
        """[n, channels, h', w', size, size], all places of a window."""
        maps = np.pad(maps, ((0, 0), (0, 0), *pads), constant_values=fill)
        views = np.lib.stride_tricks.sliding_window_view(maps, (size, size), (2, 3))
        return views[:, :, ::stride, ::stride]

    @classmethod
    def convolution(cls, maps, kernel, bias, stride, pads, groups=1):
        if kernel.shape[-1] == 1 and stride == 1:
            found = np.einsum("nchw,oc->nohw", maps, kernel[:, :, 0, 0], optimize=True)
        elif groups > 1:
            views = cls.windows(maps, kernel.shape[-1], stride, pads, 0)
            found = np.einsum("nchwij,cij->nchw", views, kernel[:, 0])
        else:
            views = cls.windows(maps, kernel.shape[-1], stride, pads, 0)
            found = np.tensordot(views, kernel, ((1, 4, 5), (1, 2, 3)))
            found = found.transpose(0, 3, 1, 2)
        return found if bias is None else found + bias[:, None, None]

    @staticmethod
    def normalized(maps, scale, shift, mean, variance, epsilon):
        column = (slice(None), None, None)
        maps = (maps - mean[column]) / np.sqrt(variance[column] + epsilon)
        return maps * scale[column] + shift[column]

    @classmethod
    def max_pool(cls, maps, stride, pad):
        # In ceil mode the last window begins within the map.
        size = maps.shape[-1] + 2 * pad
        behind = pad + (-(size - 3) % stride)
        return cls.windows(maps, 3, stride, ((pad, behind),) * 2, -np.inf).max((4, 5))

    @classmethod
    def average_pool(cls, maps):
        return cls.windows(maps, 3, 1, ((1, 1),) * 2, 0).mean((4, 5))

    @staticmethod
    def clip(maps, highest):
        return np.clip(maps, 0, highest)

    @staticmethod
    def joined(parts):
        return np.concatenate(parts, 1)


class Torch:
    """PyTorch's own operations, in float32."""

    @staticmethod
    def array(values):
        import torch

        return torch.tensor(np.asarray(values, np.float32))

    @staticmethod
    def convolution(maps, kernel, bias, stride, pads, groups=1):
        from torch.nn import functional

        (top, bottom), (left, right) = pads
        maps = functional.pad(maps, (left, right, top, bottom))
        return functional.conv2d(maps, kernel, bias, stride, groups=groups)

    @staticmethod
    def normalized(maps, scale, shift, mean, variance, epsilon):
        from torch.nn import functional

        return functional.batch_norm(maps, mean, variance, scale, shift, eps=epsilon)

    @staticmethod
    def max_pool(maps, stride, pad):
        from torch.nn import functional

        return functional.max_pool2d(maps, 3, stride, pad, ceil_mode=True)

    @staticmethod
    def average_pool(maps):
        from torch.nn import functional

        return functional.avg_pool2d(maps, 3, 1, 1, count_include_pad=True)

    @staticmethod
    def clip(maps, highest):
        return maps.clamp(0, None if np.isinf(highest) else highest)

    @staticmethod
    def joined(parts):
        import torch

        return torch.cat(parts, 1)


# 1 × 1; 3 × 3 reduce, 3 × 3; double reduce, and both of its 3 × 3; projection.
INCEPTION = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (None, 128, 160, 64, 96, None),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (None, 128, 192, 192, 256, None),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}


def inception_shapes(channels):
    """The shapes of the state dict of BN-Inception without a classifier."""
    kernels = {
        "conv1_7x7_s2": (64, channels, 7, 7),
        "conv2_3x3_reduce": (64, 64, 1, 1),
        "conv2_3x3": (192, 64, 3, 3),
    }
    inputs = 192
    for block, (one, reduce, three, double_reduce, double, pool) in INCEPTION.items():
        name = f"inception_{block}"
        if one:
            kernels[f"{name}_1x1"] = (one, inputs, 1, 1)
        kernels[f"{name}_3x3_reduce"] = (reduce, inputs, 1, 1)
        kernels[f"{name}_3x3"] = (three, reduce, 3, 3)
        kernels[f"{name}_double_3x3_reduce"] = (double_reduce, inputs, 1, 1)
        kernels[f"{name}_double_3x3_1"] = (double, double_reduce, 3, 3)
        kernels[f"{name}_double_3x3_2"] = (double, double, 3, 3)
        if pool:
            kernels[f"{name}_pool_proj"] = (pool, inputs, 1, 1)
        inputs = (one or 0) + three + double + (pool or inputs)
    return with_norms({name: f"{name}_bn" for name in kernels}, kernels, has_bias=True)


def with_norms(norms, kernels, *, has_bias):
    """Shapes of kernels, and of the normalization after each."""
    shapes = {}
    for name, shape in kernels.items():
        shapes[f"{name}.weight"] = shape
        if has_bias:
            shapes[f"{name}.bias"] = shape[:1]
        for field in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norms[name]}.{field}"] = shape[:1]
    return shapes


def random_state(shapes, seed):
    """Weights that keep the size of maps, and normalization that does something."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in shapes.items():
        if len(shape) > 1:
            values = rng.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
        elif name.endswith((".running_var", "n.weight", "0.weight", "1.weight")):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.normal(0, 0.1, shape)
        state[name] = values.astype(np.float32)
    return state


def inception_features(state, images, ops):
    """Features of BN-Inception, [n, 1024]; images are [n, channels, h, w]."""
    state = {name: ops.array(values) for name, values in state.items()}
    fields = ("weight", "bias", "running_mean", "running_var")

    def layer(maps, name, pad=0, stride=1):
        maps = ops.convolution(
            maps,
            state[f"{name}.weight"],
            state[f"{name}.bias"],
            stride,
            ((pad, pad),) * 2,
        )
        norm = [state[f"{name}_bn.{field}"] for field in fields]
        return ops.clip(ops.normalized(maps, *norm, 1e-5), np.inf)

    maps = ops.max_pool(layer(ops.array(images), "conv1_7x7_s2", 3, 2), 2, 0)
    maps = layer(layer(maps, "conv2_3x3_reduce"), "conv2_3x3", 1)
    maps = ops.max_pool(maps, 2, 0)
    for block in INCEPTION:
        name = f"inception_{block}"
        stride = 2 if block in ("3c", "4e") else 1
        three = layer(layer(maps, f"{name}_3x3_reduce"), f"{name}_3x3", 1, stride)
        double = layer(
            layer(maps, f"{name}_double_3x3_reduce"), f"{name}_double_3x3_1", 1
        )
        double = layer(double, f"{name}_double_3x3_2", 1, stride)
        if stride == 2:
            parts = [three, double, ops.max_pool(maps, 2, 0)]
        else:
            is_last = block == "5b"
            pool = ops.max_pool(maps, 1, 1) if is_last else ops.average_pool(maps)
            pool = layer(pool, f"{name}_pool_proj")
            parts = [layer(maps, f"{name}_1x1"), three, double, pool]
        maps = ops.joined(parts)
    return np.asarray(maps.mean((2, 3)))


# Expansion, size of the kernel, stride, input and output of each block.
LITE = (
    (1, 3, 1, 32, 16),
    (6, 3, 2, 16, 24),
    (6, 3, 1, 24, 24),
    (6, 5, 2, 24, 40),
    (6, 5, 1, 40, 40),
    (6, 3, 2, 40, 80),
    (6, 3, 1, 80, 80),
    (6, 3, 1, 80, 80),
    (6, 5, 1, 80, 112),
    (6, 5, 1, 112, 112),
    (6, 5, 1, 112, 112),
    (6, 5, 2, 112, 192),
    (6, 5, 1, 192, 192),
    (6, 5, 1, 192, 192),
    (6, 5, 1, 192, 192),
    (6, 3, 1, 192, 320),
)


def lite_shapes():
    """The shapes of the state dict of EfficientNet-Lite0."""
    kernels, norms = {"_conv_stem": (32, 3, 3, 3)}, {"_conv_stem": "_bn0"}
    for index, (expansion, size, _, inputs, outputs) in enumerate(LITE):
        name, width = f"_blocks.{index}", inputs * expansion
        if expansion > 1:
            kernels[f"{name}._expand_conv"] = (width, inputs, 1, 1)
        kernels[f"{name}._depthwise_conv"] = (width, 1, size, size)
        kernels[f"{name}._project_conv"] = (outputs, width, 1, 1)
        norms[f"{name}._expand_conv"] = f"{name}._bn0"
        norms[f"{name}._depthwise_conv"] = f"{name}._bn1"
        norms[f"{name}._project_conv"] = f"{name}._bn2"
    kernels["_conv_head"], norms["_conv_head"] = (1280, 320, 1, 1), "_bn1"
    shapes = with_norms(norms, kernels, has_bias=False)
    return shapes | {"_fc.weight": (1000, 1280), "_fc.bias": (1000,)}


def lite_logits(state, images, ops):
    """Logits of EfficientNet-Lite0, [n, 1000]; images are [n, 3, h, w]."""
    state = {name: ops.array(values) for name, values in state.items()}
    fields = ("weight", "bias", "running_mean", "running_var")

    def layer(maps, name, norm, highest, stride=1, groups=1):
        kernel = state[f"{name}.weight"]
        pads = []
        for length in maps.shape[2:]:
            outside = (-(-length // stride) - 1) * stride + kernel.shape[-1] - length
            outside = max(outside, 0)
            pads.append((outside // 2, outside - outside // 2))
        maps = ops.convolution(maps, kernel, None, stride, tuple(pads), groups)
        maps = ops.normalized(
            maps, *(state[f"{norm}.{field}"] for field in fields), 1e-3
        )
        return ops.clip(maps, highest) if highest else maps

    maps = layer(ops.array(images), "_conv_stem", "_bn0", 6, 2)
    for index, (expansion, _, stride, inputs, outputs) in enumerate(LITE):
        name, before = f"_blocks.{index}", maps
        width = inputs * expansion
        if expansion > 1:
            maps = layer(maps, f"{name}._expand_conv", f"{name}._bn0", 6)
        norm = f"{name}._bn1"
        maps = layer(maps, f"{name}._depthwise_conv", norm, 6, stride, width)
        maps = layer(maps, f"{name}._project_conv", f"{name}._bn2", None)
        if stride == 1 and inputs == outputs:
            maps = maps + before
    features = layer(maps, "_conv_head", "_bn1", 6).mean((2, 3))
    return np.asarray(features @ state["_fc.weight"].T + state["_fc.bias"])
