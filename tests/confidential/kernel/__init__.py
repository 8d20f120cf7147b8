"""The kernel: clipping, noise, reading and summing of updates."""
