"""Plans as ONNX, run by onnxruntime and held against torch."""
