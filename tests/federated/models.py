"""Small models and reports for the tests of the pipeline, written without torch where it does not matter."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODES = {"float64": "F64", "float32": "F32", "float16": "F16", "int64": "I64", "int32": "I32", "uint8": "U8"}


def encode(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """A tensor file of numpy arrays (the tests' own writer, not the one under test)."""
    header, data = {}, b""
    for name, values in tensors.items():
        raw = values.tobytes()
        header[name] = {
            "dtype": CODES[str(values.dtype)],
            "shape": list(values.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def decode(file: bytes | memoryview) -> dict[str, NDArray[Any]]:
    """What :func:`encode` wrote."""
    file = bytes(file)
    (length,) = struct.unpack_from("<Q", file)
    names = {code: name for name, code in CODES.items()}
    result = {}
    for name, entry in json.loads(file[8 : 8 + length]).items():
        start, stop = entry["data_offsets"]
        raw = file[8 + length + start : 8 + length + stop]
        result[name] = np.frombuffer(raw, names[entry["dtype"]]).reshape(entry["shape"])
    return result


def small_model(fill: float = 1.0) -> dict[str, NDArray[Any]]:
    """Two float32 tensors, 20 numbers."""
    return {
        "weight": np.full((4, 4), fill, np.float32),
        "bias": np.arange(4, dtype=np.float32) * np.float32(fill),
    }
