"""Vision models, as timm, torchvision and monai have them, with few and narrow layers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .zoo import Case, normal, output_loss, whole

__all__ = ["VISION"]

_CLASSIFY = output_loss(F.cross_entropy)
_IMAGES = (normal(4, 3, 16, 16), whole(3, 4))
_SEGMENT = (normal(2, 1, 16, 16), whole(2, 2, 16, 16))
_VOLUMES = (normal(2, 1, 8, 8, 8), whole(2, 2, 8, 8, 8))


class Head(nn.Module):
    """Features, global average pooling, a linear layer."""

    def __init__(self, *features: nn.Module, width: int) -> None:
        super().__init__()
        self.features, self.linear = nn.Sequential(*features), nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(F.adaptive_avg_pool2d(self.features(x), 1).flatten(1))


class Residual(nn.Module):
    def __init__(self, inside: int, outside: int, stride: int, norm: type[nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = norm(outside), norm(outside)
        self.short = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), norm(outside))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm2(self.conv2(self.relu(self.norm1(self.conv1(x)))))
        out += self.short(x)
        return self.relu(out)


def group_norm(channels: int) -> nn.Module:
    return nn.GroupNorm(2, channels)


def resnet(norm: type[nn.Module]) -> nn.Module:
    stem = (nn.Conv2d(3, 4, 7, 2, 3, bias=False), norm(4), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1))
    return Head(*stem, Residual(4, 4, 1, norm), Residual(4, 8, 2, norm), width=8)


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, 2, 3, 1, 1, bias=False)) for c in (4, 6)
        )
        self.transition = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.AvgPool2d(2))

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.layers:
            features.append(layer(torch.cat(features, 1)))
        return self.transition(torch.cat(features, 1))


class Squeeze(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = F.silu(self.reduce(x.mean((2, 3), keepdim=True)))
        return x * torch.sigmoid(self.expand(scale))


class Inverted(nn.Module):
    """MobileNetV2's block; with ``squeeze`` and SiLU, EfficientNet's."""

    def __init__(self, channels: int, squeeze: bool) -> None:
        super().__init__()
        wide, activation = 3 * channels, nn.SiLU if squeeze else nn.ReLU6
        self.body = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            activation(inplace=True),
            nn.Conv2d(wide, wide, 3, 1, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            activation(inplace=True),
            Squeeze(wide) if squeeze else nn.Identity(),
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ConvNextBlock(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.gamma = nn.Parameter(1e-1 * torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x).permute(0, 2, 3, 1)
        y = self.gamma * self.narrow(F.gelu(self.wide(self.norm(y))))
        return x + y.permute(0, 3, 1, 2)


class Inception(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.three = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 2, 3, padding=1)
        self.five, self.pool = nn.Conv2d(4, 2, 5, padding=2), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.pool(F.max_pool2d(x, 3, 1, 1))
        return torch.cat([self.one(x), self.three(x), self.five(x), pooled], 1)


class SwinBlock(nn.Module):
    """Attention within shifted windows, with a relative position bias."""

    def __init__(self, width: int = 8, window: int = 4, shift: int = 2) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.bias = nn.Parameter(torch.zeros((2 * window - 1) ** 2, 2))
        at = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = (at[:, :, None] - at[:, None, :]).permute(1, 2, 0) + window - 1
        self.register_buffer("place", apart[..., 0] * (2 * window - 1) + apart[..., 1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        rows, high, wide, width = x.shape
        w = self.window
        y = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2))
        y = y.view(rows, high // w, w, wide // w, w, width).permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(-1, w * w, width)
        q, k, v = self.qkv(y).reshape(-1, w * w, 3, 2, width // 2).permute(2, 0, 3, 1, 4)
        scores = (q * (width // 2) ** -0.5) @ k.transpose(-2, -1)
        scores = scores + self.bias[self.place.view(-1)].view(w * w, w * w, 2).permute(2, 0, 1)
        y = self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(-1, w * w, width))
        y = y.view(rows, high // w, wide // w, w, w, width).permute(0, 1, 3, 2, 4, 5)
        x = x + torch.roll(y.reshape(rows, high, wide, width), (self.shift, self.shift), (1, 2))
        return (x + self.mlp(self.norm2(x))).permute(0, 3, 1, 2)


class Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, 4)
        self.norm1, self.norm2, self.last = nn.LayerNorm(8), nn.LayerNorm(8), nn.LayerNorm(8)
        self.tokens = nn.Sequential(nn.Linear(16, 8), nn.GELU(), nn.Linear(8, 16))
        self.channels = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        x = x + self.channels(self.norm2(x))
        return self.head(self.last(x).mean(1))


class UNet(nn.Module):
    """Two levels, in two or three dimensions, with transposed convolutions and skips."""

    def __init__(self, dims: int, norm: bool = True) -> None:
        super().__init__()
        conv, up = (nn.Conv2d, nn.ConvTranspose2d) if dims == 2 else (nn.Conv3d, nn.ConvTranspose3d)
        norms = nn.BatchNorm2d if dims == 2 else nn.InstanceNorm3d
        self.pool = nn.MaxPool2d(2) if dims == 2 else nn.MaxPool3d(2)

        def block(inside: int, outside: int) -> nn.Module:
            return nn.Sequential(conv(inside, outside, 3, padding=1), norms(outside), nn.LeakyReLU(0.1))

        self.down1, self.down2, self.side = block(1, 4), block(4, 8), block(8, 4)
        self.up, self.last = up(8, 4, 2, 2), conv(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skip = self.down1(x)
        deep = self.down2(self.pool(skip))
        return self.last(self.side(torch.cat([skip, self.up(deep)], 1)))


class SegResNet(nn.Module):
    """Group norm before each convolution, strided downs, trilinear ups, added skips."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = nn.Conv3d(1, 4, 3, padding=1), nn.Conv3d(4, 8, 3, 2, 1)
        self.block1, self.block2 = self.block(4), self.block(8)
        self.thin, self.last = nn.Conv3d(8, 4, 1), nn.Conv3d(4, 2, 1)

    @staticmethod
    def block(channels: int) -> nn.Module:
        return nn.Sequential(
            nn.GroupNorm(2, channels), nn.ReLU(), nn.Conv3d(channels, channels, 3, padding=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        skip = self.stem(x)
        skip = skip + self.block1(skip)
        deep = self.down(skip)
        deep = self.thin(deep + self.block2(deep))
        wide = F.interpolate(deep, scale_factor=2, mode="trilinear", align_corners=False)
        return self.last(wide + skip)


def vgg() -> nn.Module:
    layers = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(True), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1)]
    head = (nn.Linear(8 * 16, 16), nn.ReLU(True), nn.Dropout(0.0), nn.Linear(16, 3))
    return nn.Sequential(*layers, nn.ReLU(True), nn.AdaptiveAvgPool2d(4), nn.Flatten(), *head)


def channels_last() -> nn.Module:
    return resnet(group_norm).to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class Frozen(nn.Module):
    """Batch norms that keep what they learned before."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = model

    def train(self, mode: bool = True) -> Frozen:
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


VISION = {
    "ResNet, group norm": Case(lambda: resnet(group_norm), _IMAGES, _CLASSIFY),
    "ResNet, batch norm": Case(lambda: resnet(nn.BatchNorm2d), _IMAGES, _CLASSIFY),
    "ResNet, batch norm frozen": Case(
        lambda: Frozen(resnet(nn.BatchNorm2d)), _IMAGES, _CLASSIFY, note="statistics of pretraining: `eval()`"
    ),
    "ResNet, channels last": Case(channels_last, _IMAGES, _CLASSIFY),
    "DenseNet block": Case(lambda: Head(nn.Conv2d(3, 4, 3), Dense(), width=4), _IMAGES, _CLASSIFY),
    "EfficientNet block": Case(
        lambda: Head(nn.Conv2d(3, 4, 3), Inverted(4, True), width=4), _IMAGES, _CLASSIFY
    ),
    "MobileNetV2 block": Case(
        lambda: Head(nn.Conv2d(3, 4, 3), Inverted(4, False), width=4), _IMAGES, _CLASSIFY
    ),
    "ConvNeXt": Case(
        lambda: Head(nn.Conv2d(3, 4, 4, 4), LayerNorm2d(4), ConvNextBlock(4), width=4), _IMAGES, _CLASSIFY
    ),
    "VGG": Case(vgg, _IMAGES, _CLASSIFY),
    "Inception block": Case(lambda: Head(nn.Conv2d(3, 4, 3), Inception(), width=8), _IMAGES, _CLASSIFY),
    "Swin block": Case(lambda: Head(nn.Conv2d(3, 8, 2, 2), SwinBlock(), width=8), _IMAGES, _CLASSIFY),
    "MLP-Mixer": Case(Mixer, _IMAGES, _CLASSIFY),
    "U-Net, 2-D": Case(lambda: UNet(2), _SEGMENT, _CLASSIFY),
    "U-Net, 3-D": Case(lambda: UNet(3), _VOLUMES, _CLASSIFY),
    "SegResNet, 3-D": Case(SegResNet, _VOLUMES, _CLASSIFY),
}
