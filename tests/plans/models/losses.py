"""Losses, and models whose step is more than a loss of an output and a target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .zoo import Case, normal, whole

__all__ = ["LOSSES"]

_ROWS = (normal(8, 6),)
_VIEWS = (normal(8, 6), normal(8, 6))
_THREE = (normal(8, 6), normal(8, 6), normal(8, 6))


def encoder(width: int = 4) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, width))


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder()
        self.decoder = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


class Variational(Autoencoder):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = encoder(8)

    def loss(self, x: Tensor) -> Tensor:
        mean, spread = self.encoder(x).chunk(2, 1)
        z = mean + torch.randn_like(mean) * (0.5 * spread).exp()
        prior = -0.5 * (1 + spread - mean**2 - spread.exp()).sum(1).mean()
        return F.mse_loss(self.decoder(z), x) + 0.1 * prior


class Adversaries(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6))
        norm = nn.utils.parametrizations.spectral_norm
        self.judge = nn.Sequential(norm(nn.Linear(6, 8)), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def loss(self, real: Tensor) -> Tensor:
        """Both sides in one step: each loss reaches the parameters of its side only."""
        made = self.generator(torch.randn(real.shape[0], 4))
        judged = F.softplus(-self.judge(real)).mean() + F.softplus(self.judge(made.detach())).mean()
        still = {name: p.detach() for name, p in self.judge.named_parameters()}
        fooled = torch.func.functional_call(self.judge, still, (made,))
        return judged + F.softplus(-fooled).mean()


class Diffusion(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(7, 8), nn.SiLU(), nn.Linear(8, 6))
        self.register_buffer("kept", torch.linspace(0.99, 0.1, 10))

    def loss(self, x: Tensor) -> Tensor:
        at = torch.randint(0, 10, (x.shape[0],))
        noise, kept = torch.randn_like(x), self.kept[at][:, None]
        noisy = kept.sqrt() * x + (1 - kept).sqrt() * noise
        return F.mse_loss(self.body(torch.cat([noisy, at[:, None] / 10], 1)), noise)


def own(model: nn.Module, *data: Tensor) -> Tensor:
    return model.loss(*data)  # type: ignore[operator, no-any-return]


def rebuilt(model: nn.Module, x: Tensor) -> Tensor:
    return F.mse_loss(model(x), x)


def triplet(model: nn.Module, anchor: Tensor, near: Tensor, far: Tensor) -> Tensor:
    return F.triplet_margin_loss(model(anchor), model(near), model(far))


def siamese(model: nn.Module, one: Tensor, other: Tensor, same: Tensor) -> Tensor:
    apart = F.pairwise_distance(model(one), model(other))
    return (same * apart**2 + (1 - same) * F.relu(1 - apart) ** 2).mean()


def nt_xent(model: nn.Module, one: Tensor, other: Tensor) -> Tensor:
    z = F.normalize(model(torch.cat([one, other])), dim=1)
    rows = one.shape[0]
    itself = torch.eye(2 * rows, dtype=torch.bool)
    alike = (z @ z.T / 0.5).masked_fill(itself, -1e9)
    partner = torch.cat([torch.arange(rows) + rows, torch.arange(rows)])
    return F.cross_entropy(alike, partner)


def focal(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    entropy = F.cross_entropy(model(x), y, reduction="none")
    return ((1 - (-entropy).exp()) ** 2 * entropy).mean()


def dice(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    found, wanted = model(x).softmax(1), F.one_hot(y, 2).movedim(-1, 1).float()
    shared, both = (found * wanted).sum((2, 3)), (found + wanted).sum((2, 3))
    return (1 - (2 * shared + 1) / (both + 1)).mean()


def smoothed(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    weights = torch.tensor([1.0, 2.0, 0.5, 1.0])
    return F.cross_entropy(model(x), y, weights, label_smoothing=0.1)


def huber(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.huber_loss(model(x)[:, 0], y)


def quantile(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    off = y[:, None] - model(x)
    at = torch.tensor([0.1, 0.5, 0.9, 0.95])
    return torch.maximum(at * off, (at - 1) * off).mean()


def distilled(model: nn.Module, x: Tensor, teacher: Tensor) -> Tensor:
    return F.kl_div((model(x) / 2).log_softmax(1), (teacher / 2).softmax(1), reduction="batchmean")


def multi_label(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.multilabel_soft_margin_loss(model(x), y)


def gaussian(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    mean, spread = model(x)[:, :1], model(x)[:, 1:2].exp()
    return F.gaussian_nll_loss(mean, y[:, None], spread)


def ctc(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    steps = model(x).log_softmax(-1).transpose(0, 1)
    rows = x.shape[0]
    return F.ctc_loss(steps, y, torch.full((rows,), 6), torch.full((rows,), 2))


def proximal(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """FedProx's term, against a point that is fixed here."""
    drift = torch.stack([(p - 0.1).square().sum() for p in model.parameters()]).sum()
    return F.cross_entropy(model(x), y) + 0.005 * drift


_CLASSES = (normal(8, 6), whole(4, 8))
_NUMBERS = (normal(8, 6), normal(8))

LOSSES = {
    "autoencoder": Case(Autoencoder, _ROWS, rebuilt),
    "variational autoencoder": Case(Variational, _ROWS, own, draws=True),
    "GAN, both sides, spectral norm": Case(Adversaries, _ROWS, own, draws=True),
    "denoising diffusion": Case(Diffusion, _ROWS, own, draws=True),
    "siamese, contrastive": Case(encoder, (*_VIEWS, whole(2, 8).float()), siamese),
    "triplet": Case(encoder, _THREE, triplet),
    "SimCLR (NT-Xent)": Case(encoder, _VIEWS, nt_xent),
    "focal": Case(encoder, _CLASSES, focal),
    "Dice": Case(lambda: nn.Conv2d(1, 2, 3, padding=1), (normal(4, 1, 6, 6), whole(2, 4, 6, 6)), dice),
    "cross entropy, weighted, smoothed": Case(encoder, _CLASSES, smoothed),
    "Huber": Case(encoder, _NUMBERS, huber),
    "quantile (pinball)": Case(encoder, _NUMBERS, quantile),
    "distillation (KL)": Case(encoder, (normal(8, 6), normal(8, 4)), distilled),
    "multi-label": Case(encoder, (normal(8, 6), whole(2, 8, 4).float()), multi_label),
    "FedProx term": Case(encoder, _CLASSES, proximal),
    "Gaussian likelihood": Case(encoder, _NUMBERS, gaussian, refused="clamp"),
    "CTC": Case(encoder, (normal(4, 6, 6), whole(3, 4, 2) + 1), ctc, refused="cross_entropy on aligned"),
}
