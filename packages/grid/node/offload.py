"""Heavy work beside the event loop; the primitives live in :mod:`grid.offload`, below storage and node."""

from grid.offload import Lock, Semaphore, Signal, offload, patched, start_thread

__all__ = ["Lock", "Semaphore", "Signal", "offload", "patched", "start_thread"]
