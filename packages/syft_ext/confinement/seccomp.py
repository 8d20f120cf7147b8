"""seccomp: the kernel refuses every system call that is not on the list, for good.

Source: Documentation/userspace-api/seccomp_filter.rst of Linux; the filter is classic BPF over seccomp_data.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from syft_ext.confinement.kernel import ProtectionError, architecture, system_call
from syft_ext.confinement.system_calls import ABSENT, CALLS, Equal, Masked, Rule, rules_of

__all__ = ["allow_only", "program"]

_LOAD, _JUMP_EQUAL, _JUMP_SET, _JUMP_GREATER_EQUAL, _AND, _RETURN = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_SECCOMP = (317, 277)
_SET_MODE_FILTER, _TSYNC = 1, 1
_X32 = 0x40000000
_NUMBER, _ARCHITECTURE = 0, 4

Code = list[bytes]


def allow_only(uses: Sequence[str] = ()) -> None:
    """Allow what :func:`rules_of` says to all threads of this process. Needs no_new_privs.

    Raises :class:`ProtectionError`.
    """
    number, index = architecture()
    code = program(rules_of(os.getpid(), uses), number, index)
    memory = ctypes.create_string_buffer(b"".join(code))
    header = struct.pack("HxxxxxxP", len(code), ctypes.addressof(memory))
    try:
        out_of_step = system_call("seccomp", _SECCOMP[index], _SET_MODE_FILTER, _TSYNC, header)
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        if error.errno in (errno.ENOSYS, errno.EINVAL):
            reason = "not in this kernel"
        raise ProtectionError(reason) from error
    if out_of_step:
        raise ProtectionError(f"thread {out_of_step} of this process did not take it over")


def program(rules: Sequence[Rule], architecture_number: int, index: int) -> Code:
    """The filter: another architecture's calls end the process, what is not allowed fails with EPERM."""
    code = [
        _statement(_LOAD, _ARCHITECTURE),
        _statement(_JUMP_EQUAL, architecture_number, 1, 0),
        _statement(_RETURN, _KILL),
        _statement(_LOAD, _NUMBER),
    ]
    if index == 0:
        code += [_statement(_JUMP_GREATER_EQUAL, _X32, 0, 1), _statement(_RETURN, _KILL)]
    for rule in rules:
        call = CALLS[rule.name][index]
        if call >= 0:
            body = _body(rule)
            code += [_statement(_JUMP_EQUAL, call, 0, len(body)), *body]
    for numbers in ABSENT.values():
        code += [_statement(_JUMP_EQUAL, numbers[index], 0, 1), _statement(_RETURN, _ERRNO | errno.ENOSYS)]
    return [*code, _statement(_RETURN, _ERRNO | errno.EPERM)]


def _body(rule: Rule) -> Code:
    if not rule.alternatives:
        return [_statement(_RETURN, _ALLOW)]
    code: Code = []
    for conditions in rule.alternatives:
        tests = _all_of(conditions)
        code += [*tests, _statement(_RETURN, _ALLOW)]
    return [*code, _statement(_RETURN, _ERRNO | errno.EPERM)]


def _all_of(conditions: Sequence[Equal | Masked]) -> Code:
    """Falls through where all hold; else it jumps over the statement behind it."""
    code: Code = []
    for condition in reversed(conditions):
        code = _test(condition, behind=len(code) + 1) + code
    return code


def _test(condition: Equal | Masked, behind: int) -> Code:
    """Falls through where the condition holds, else skips ``behind`` statements. The accumulator is lost."""
    where = 16 + 8 * condition.number
    if isinstance(condition, Equal):
        code = [_statement(_LOAD, where)]
        values = condition.values
        for position, value in enumerate(values):
            left = len(values) - position - 1
            code.append(_statement(_JUMP_EQUAL, value & 0xFFFFFFFF, left, 0 if left else behind))
        if condition.whole:
            assert values == (0,)
            high = [_statement(_LOAD, where + 4), _statement(_JUMP_EQUAL, 0, 0, behind)]
            code[-1] = _statement(_JUMP_EQUAL, 0, 0, behind + len(high))
            code += high
        return code
    masked = [_statement(_LOAD, where), _statement(_AND, condition.mask)]
    match condition.kind:
        case "none":
            return [*masked, _statement(_JUMP_EQUAL, 0, 0, behind)]
        case "all":
            return [*masked, _statement(_JUMP_EQUAL, condition.mask, 0, behind)]
        case _:
            return [*masked, _statement(_JUMP_EQUAL, condition.mask, behind, 0)]


def _statement(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
