"""What an entry of the audit log says of a call, beyond caller, operation and outcome."""

from __future__ import annotations

from grid.node.service import Context, Download
from syft_ext.messages import Message, Operation, Reply

__all__ = ["objects_of", "where"]


def objects_of(
    spec: Operation, message: Message, context: Context, answer: Reply | Download | None
) -> list[str]:
    """What a call was about: the ids in its path, what its handler noted, and the id of what it made."""
    found = {
        str(getattr(message, name)): None
        for name in spec.path_fields
        if name.endswith("_id") or name == "verify_key"
    }
    found.update(context.notes.objects)
    reply = answer.reply if isinstance(answer, Download) else answer
    made = getattr(reply, "id", None)
    if isinstance(made, str) and made:
        found[made] = None
    return list(found)


def where(scheme: str, remote: str) -> dict[str, str | int | float | bool]:
    """How a call came in, and from which network address."""
    return {"via": scheme, **({"remote": remote} if remote else {})}
