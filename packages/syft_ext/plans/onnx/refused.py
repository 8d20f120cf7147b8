"""What ONNX cannot say exactly, by name, and why. A plan that uses it is refused before anything is made of
it."""

from __future__ import annotations

__all__ = ["REFUSED"]

REFUSED: dict[str, str] = {
    "aten.lgamma.default": "ONNX has no logarithm of the gamma function",
    "aten.digamma.default": "ONNX has no digamma function",
    "aten.erfc.default": "ONNX has no complementary error function, and 1 - erf loses all of its digits",
    "aten.erfinv.default": "ONNX has no inverse of the error function",
}
