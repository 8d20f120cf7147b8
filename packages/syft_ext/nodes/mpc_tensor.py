"""Tensors that several Domains share, in SyMPC's words: an expression over them, which becomes a plan.

Nothing is computed when an expression is written. What is opened is asked for as one plan, under the terms of the
session, and the owners of all secrets read it and agree: what is made of a result is another plan, and another
question.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from syft_ext.errors import BadRequest

if TYPE_CHECKING:
    import torch

    from syft_ext.client.node_client import NodeClient
    from syft_ext.mpc.local_session import LocalSession
    from syft_ext.nodes.shared_session import Session, SharedRequest
    from syft_ext.plans.ir import Plan

__all__ = ["MPCTensor"]

Shared: TypeAlias = "torch.Tensor | tuple[NodeClient, Any]"


class _Leaf:
    """One secret: where it is, its shape and type, and the largest size of its numbers."""

    def __init__(self, secret: Shared, shape: tuple[int, ...], dtype: torch.dtype, bound: float) -> None:
        self.secret, self.shape, self.dtype, self.bound = secret, shape, dtype, bound


def _type(said: torch.dtype | str) -> torch.dtype:
    """As torch names it; raises :class:`BadRequest` for what is not shared."""
    import torch

    found = said if isinstance(said, torch.dtype) else getattr(torch, said, None)
    if not isinstance(found, torch.dtype):
        raise BadRequest(f"torch has no type {said!r}")
    if not found.is_floating_point:
        name = str(found).removeprefix("torch.")
        raise BadRequest(
            f"the secret is of {name}, and only numbers of floating point are shared: let its owner store it "
            "as float32, or say the dtype of one that is"
        )
    return found


class MPCTensor:
    """A shared tensor, or what follows from some.

    Args:
        secret: (client of a Domain, an object, asset or pointer there), or a tensor, in a :class:`LocalSession`.
        session: with the parties that compute; Domains of secrets are among them.
        bound: the largest size of its numbers; its owner's host refuses larger ones.
        shape: of the secret, if it does not say so itself.
        dtype: likewise; float32 where neither says it. Its owner's host refuses a secret of another type.

    Raises :class:`BadRequest` without a shape, or for a type that is not one of floating point.
    """

    def __init__(
        self,
        secret: Shared,
        session: Session | LocalSession,
        *,
        bound: float,
        shape: Sequence[int] | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        where = secret[1] if isinstance(secret, tuple) else secret
        found = shape if shape is not None else getattr(where, "shape", None)
        if found is None:
            raise BadRequest("say the shape of the secret, which does not say it itself: shape=[…]")
        kind = dtype or getattr(where, "dtype", None) or "float32"
        leaf = _Leaf(secret, tuple(found), _type(kind), bound)
        self.session = session
        self._leaves: tuple[_Leaf, ...] = (leaf,)
        self._value: Callable[[dict[_Leaf, Any]], Any] = lambda known: known[leaf]
        self._plan: Plan | None = None

    @classmethod
    def map(cls, function: Callable[..., Any], *operands: Any) -> MPCTensor:
        """What ``function`` makes of tensors, shared and public ones: ``MPCTensor.map(torch.maximum, x, y)``.

        Raises :class:`BadRequest` without a shared one, or for two sessions.
        """
        shared = [each for each in operands if isinstance(each, MPCTensor)]
        if not shared or any(each.session is not shared[0].session for each in shared):
            raise BadRequest("the operands are not of one session")
        made = object.__new__(cls)
        made.session, made._plan = shared[0].session, None
        made._leaves = tuple(dict.fromkeys(leaf for each in shared for leaf in each._leaves))
        made._value = lambda known: function(
            *(each._value(known) if isinstance(each, MPCTensor) else each for each in operands)
        )
        return made

    # -- what it is ------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes; nothing is computed for that."""
        from syft_ext.plans.graph.expr import eval_shape

        return tuple(eval_shape(self.plan.outputs[0].shape, {}))

    @property
    def plan(self) -> Plan:
        """What owners are asked to let run: the whole expression, with all secrets as its inputs."""
        if self._plan is None:
            import torch

            from syft_ext.plans.tracing.decorator import trace

            def expression(secrets: list[Any]) -> Any:
                return self._value(dict(zip(self._leaves, secrets, strict=True)))

            examples = [torch.zeros(leaf.shape, dtype=leaf.dtype) for leaf in self._leaves]
            self._plan = trace(expression, examples, symbols={}, roles={"secrets": "data"})
        return self._plan

    def request(self, reason: str = "") -> SharedRequest:
        """Ask the owners of all parties to let this be computed and opened to you."""
        return self._domains().request(self.plan, self._inputs(), bounds=self._bounds(), reason=reason)

    def reconstruct(self) -> torch.Tensor:
        """Compute it on shares and open it: float64.

        In a session of Domains, all owners must have approved; the first time, they are asked. Raises
        :class:`NotAgreed` until then; else as :meth:`SharedRequest.run`.
        """
        from syft_ext.mpc.local_session import LocalSession

        if isinstance(self.session, LocalSession):
            secrets = {name: self._tensor(leaf) for name, leaf in self._named().items()}
            found = self.session.run(self.plan, secrets, bounds=self._bounds())
        else:
            found = self._domains().run(self.plan, self._inputs(), bounds=self._bounds())
        (result,) = found.values()
        return result

    def _named(self) -> dict[str, _Leaf]:
        return {each.name: leaf for each, leaf in zip(self.plan.inputs, self._leaves, strict=True)}

    def _bounds(self) -> dict[str, float]:
        return {name: leaf.bound for name, leaf in self._named().items()}

    def _inputs(self) -> dict[str, tuple[NodeClient, Any]]:
        found = {}
        for name, leaf in self._named().items():
            if not isinstance(leaf.secret, tuple):
                raise BadRequest("a session of Domains takes secrets that are at Domains: (client, object)")
            found[name] = leaf.secret
        return found

    def _domains(self) -> Session:
        from syft_ext.nodes.shared_session import Session

        if not isinstance(self.session, Session):
            raise BadRequest("a session in this process has nobody to ask")
        return self.session

    @staticmethod
    def _tensor(leaf: _Leaf) -> torch.Tensor:
        if isinstance(leaf.secret, tuple):
            raise BadRequest("a session in this process takes tensors")
        return leaf.secret

    def __repr__(self) -> str:
        return f"MPCTensor(shape={list(self.shape)}, secrets={len(self._leaves)})"

    def __bool__(self) -> bool:
        raise BadRequest("a shared value decides nothing in Python: use where()")

    __hash__ = object.__hash__

    # -- operators ---------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: x + y, self, other)

    def __radd__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: y + x, self, other)

    def __sub__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: x - y, self, other)

    def __rsub__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: y - x, self, other)

    def __mul__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: x * y, self, other)

    def __rmul__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: y * x, self, other)

    def __truediv__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: x / y, self, other)

    def __rtruediv__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: y / x, self, other)

    def __matmul__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: x @ y, self, other)

    def __rmatmul__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: y @ x, self, other)

    def __pow__(self, exponent: float) -> MPCTensor:
        return self.map(lambda x: x**exponent, self)

    def __neg__(self) -> MPCTensor:
        return self.map(lambda x: -x, self)

    def __getitem__(self, index: Any) -> MPCTensor:
        return self.map(lambda x: x[index], self)

    def __lt__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: (x < y).float(), self, other)

    def __le__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: (x <= y).float(), self, other)

    def __gt__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: (x > y).float(), self, other)

    def __ge__(self, other: Any) -> MPCTensor:
        return self.map(lambda x, y: (x >= y).float(), self, other)

    def __getattr__(self, name: str) -> Callable[..., MPCTensor]:
        if name not in _METHODS:
            raise AttributeError(f"MPCTensor has no {name}")
        return lambda *args, **kwargs: self.map(
            lambda x, *rest: getattr(x, name)(*rest, **kwargs), self, *args
        )


_METHODS = frozenset(
    {"abs", "amax", "amin", "clamp", "exp", "expm1", "flip", "log", "log1p", "log2", "log10", "log_softmax"}
    | {"maximum", "mean", "minimum", "permute", "reciprocal", "relu", "repeat", "reshape", "rsqrt", "sigmoid"}
    | {"sign", "softmax", "sqrt", "squeeze", "sum", "t", "tanh", "transpose", "unsqueeze"}
)
"""Of ``torch.Tensor``, with the same arguments; what else plans do on shares goes by :meth:`MPCTensor.map`."""
