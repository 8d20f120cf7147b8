"""Optimisers for plans: functions from parameters, gradients and state to new parameters and state.

A plan is a function, so the state of an optimiser goes in and comes out. These are the shortest graphs;
:class:`TorchOptimizer` runs any optimiser of ``torch.optim`` on state that is handed in and out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch

from syft_ext.plans.tracing.errors import TraceError

__all__ = ["TorchOptimizer", "adam", "adam_state", "adamw", "momentum", "momentum_state", "sgd"]

Tensors: TypeAlias = Sequence[torch.Tensor]
# Their step is tensor arithmetic throughout; the others read numbers out of tensors.
_SUPPORTED = (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.Adamax)
Rate: TypeAlias = "torch.Tensor | float"


def sgd(params: Tensors, grads: Tensors, lr: Rate, weight_decay: float = 0.0) -> list[torch.Tensor]:
    """Gradient descent: ``p - lr * (g + weight_decay * p)``."""
    with torch.no_grad():
        return [
            p - lr * (g + weight_decay * p if weight_decay else g) for p, g in zip(params, grads, strict=True)
        ]


def momentum_state(params: Tensors) -> list[torch.Tensor]:
    """The velocities :func:`momentum` starts from: zeros."""
    return [torch.zeros_like(p, requires_grad=False) for p in params]


def momentum(
    params: Tensors, grads: Tensors, velocity: Tensors, lr: Rate, beta: float = 0.9, nesterov: bool = False
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Heavy-ball or Nesterov momentum as in torch.optim.SGD. Returns (params, velocity)."""
    with torch.no_grad():
        speed = [v * beta + g for v, g in zip(velocity, grads, strict=True)]
        steps = [g + beta * v for g, v in zip(grads, speed, strict=True)] if nesterov else speed
        return [p - lr * s for p, s in zip(params, steps, strict=True)], speed


def adam_state(params: Tensors) -> tuple[list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """What :func:`adam` and :func:`adamw` start from: first and second moments, and the step counter 0."""
    return momentum_state(params), momentum_state(params), torch.tensor(0.0)


def adam(
    params: Tensors,
    grads: Tensors,
    m: Tensors,
    v: Tensors,
    step: torch.Tensor,
    lr: Rate,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Adam (Kingma and Ba, 2015, algorithm 1). Returns (params, m, v, step).

    The bias corrections are folded into one scale and one epsilon: three elementwise operations per tensor.
    """
    b1, b2 = betas
    with torch.no_grad():
        step = step + 1
        correction = (1 - b2**step).sqrt()
        scale = -lr / (1 - b1**step) * correction
        m = [a.lerp(g, 1 - b1) for a, g in zip(m, grads, strict=True)]
        v = [(a * b2).addcmul(g, g, value=1 - b2) for a, g in zip(v, grads, strict=True)]
        new = [
            p.addcdiv(a * scale, b.sqrt() + eps * correction) for p, a, b in zip(params, m, v, strict=True)
        ]
    return new, list(m), list(v), step


def adamw(
    params: Tensors,
    grads: Tensors,
    m: Tensors,
    v: Tensors,
    step: torch.Tensor,
    lr: Rate,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 1e-2,
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], torch.Tensor]:
    """Adam with decoupled weight decay (Loshchilov and Hutter, 2019). Returns (params, m, v, step)."""
    with torch.no_grad():
        decayed = [p * (1 - lr * weight_decay) for p in params]
    return adam(decayed, grads, m, v, step, lr, betas, eps)


class TorchOptimizer:
    """SGD, Adam, AdamW or Adamax of ``torch.optim``, with state that goes in and out of the plan as tensors.

        state = TorchOptimizer.init(torch.optim.Adam, params)           # outside: the example and first state
        optimizer = TorchOptimizer(torch.optim.Adam, params, lr, state) # inside the plan
        loss.backward(); optimizer.step()
        return loss, *optimizer.params, *optimizer.state

    ``lr`` may be a plan input. ``params`` are copied, so the plan's inputs stay as they are; use
    ``optimizer.params`` in the model.
    """

    def __init__(
        self,
        kind: type[torch.optim.Optimizer],
        params: Tensors,
        lr: Rate,
        state: Tensors = (),
        **options: Any,
    ) -> None:
        self.params = [p.detach().clone().requires_grad_() for p in params]
        self._optimizer = _construct(kind, self.params, options)
        self._keys = _state_keys(kind, options)
        if len(state) != len(self._keys) * len(self.params):
            raise TraceError(f"{kind.__name__} keeps {len(self._keys)} state tensors for each parameter")
        for index, p in enumerate(self.params):
            own = state[index * len(self._keys) : (index + 1) * len(self._keys)]
            self._optimizer.state[p] = {key: s.clone() for key, s in zip(self._keys, own, strict=True)}
        for group in self._optimizer.param_groups:
            # Set after construction, which compares lr with 0. SGD calls .item() unless lr wants a gradient.
            tensor = isinstance(lr, torch.Tensor) and not lr.requires_grad and kind is torch.optim.SGD
            group["lr"] = (
                lr.detach().clone().requires_grad_() if tensor and isinstance(lr, torch.Tensor) else lr
            )

    def step(self) -> None:
        """Update ``params`` and ``state`` from the gradients of ``params``."""
        self._optimizer.step()

    @property
    def state(self) -> list[torch.Tensor]:
        """State tensors, parameter by parameter, in a fixed order."""
        return [self._optimizer.state[p][key] for p in self.params for key in self._keys]

    @staticmethod
    def init(kind: type[torch.optim.Optimizer], params: Tensors, **options: Any) -> list[torch.Tensor]:
        """The state before the first step, in the order of :attr:`state`."""
        keys = _state_keys(kind, options)
        return [
            torch.zeros(()) if key == "step" else torch.zeros_like(p, requires_grad=False)
            for p in params
            for key in keys
        ]


def _construct(
    kind: type[torch.optim.Optimizer], params: list[torch.Tensor], options: dict[str, Any]
) -> torch.optim.Optimizer:
    if kind not in _SUPPORTED:
        names = ", ".join(supported.__name__ for supported in _SUPPORTED)
        raise TraceError(
            f"{kind.__name__} cannot be recorded", hint=f"one of {names}, or syft_ext.plans.tracing.optim"
        )
    given = dict(options)
    given.setdefault("foreach", False)
    if kind is not torch.optim.SGD:
        # The tensor-only code path; outside a trace torch demands an accelerator for it.
        given.setdefault("capturable", torch.compiler.is_compiling())
    return kind(params, lr=0.1, **given)


def _state_keys(kind: type[torch.optim.Optimizer], options: dict[str, Any]) -> list[str]:
    """The names of the state tensors in the order in which torch makes them, from one step on a scratch."""
    given = {key: value for key, value in options.items() if key not in ("capturable", "foreach")}
    with (
        torch._subclasses.fake_tensor.unset_fake_temporarily(),
        torch.utils._python_dispatch._disable_current_modes(),
    ):
        scratch = torch.zeros(1, requires_grad=True)
        scratch.grad = torch.zeros(1)
        optimizer = kind([scratch], lr=0.1, foreach=False, **given)  # type: ignore[call-arg]
        optimizer.step()
        return [key for key, value in optimizer.state[scratch].items() if isinstance(value, torch.Tensor)]
