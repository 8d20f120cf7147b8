"""What the paper's listings take for granted: the torch module, the network, the data, and the names.

The data are scikit-learn's handwritten digits, 8 x 8, put into the middle of MNIST's 28 x 28.
"""

from __future__ import annotations

import os
from typing import Any

import torch as th
from sklearn.datasets import load_digits

import syft_ext as sy

__all__ = [
    "MLP",
    "auth_token",
    "digits",
    "grid_address",
    "held_out",
    "model_name",
    "model_version",
    "train_set",
]

#: The Domain. Listing 6 calls it ``grid_address``, listing 8 ``gridAddress``.
grid_address = os.environ["GRID_ADDRESS"]
auth_token = os.environ.get("AUTH_TOKEN", "")
model_name, model_version = "mnist", "1.0"


class MLP(sy.Module):
    """784-64-10 with a hand-written backward pass, as the listings call it."""

    def __init__(self, torch_ref: Any) -> None:
        super().__init__(torch_ref=torch_ref)
        self.l1 = self.torch_ref.nn.Linear(784, 64)
        self.l2 = self.torch_ref.nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        self.h1 = self.torch_ref.relu(self.l1(x))
        return self.l2(self.h1)

    def softmax_cross_entropy_with_logits(self, logits: Any, targets: Any, batch_size: Any) -> Any:
        probabilities = logits.softmax(dim=1)
        loss = -(targets * (probabilities + 1e-7).log()).sum() / batch_size
        return loss, (probabilities - targets) / batch_size

    def backward(self, x: Any, loss_grad: Any) -> Any:
        hidden = (loss_grad @ self.l2.weight) * (self.h1 > 0).float()
        return hidden.t() @ x, hidden.sum(0), loss_grad.t() @ self.h1, loss_grad.sum(0)

    def accuracy(self, logits: Any, targets: Any, batch_size: Any) -> Any:
        return (logits.argmax(dim=1) == targets.argmax(dim=1)).float().sum() / batch_size


def digits() -> tuple[th.Tensor, th.Tensor]:
    """1,797 images as rows of 784 values in [0, 1], and their labels."""
    images, labels = load_digits(return_X_y=True)
    padded = th.zeros(len(images), 28, 28)
    padded[:, 10:18, 10:18] = th.tensor(images, dtype=th.float32).reshape(-1, 8, 8) / 16
    return padded.reshape(-1, 784), th.tensor(labels)


def held_out() -> tuple[th.Tensor, th.Tensor]:
    """The images that no worker has."""
    x, y = digits()
    return x[1500:], y[1500:]


_x, _y = digits()
train_set = th.utils.data.TensorDataset(_x[:1500], _y[:1500])
