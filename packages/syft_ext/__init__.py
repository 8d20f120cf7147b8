"""What everyone shares: identity, messages, plans, transports, and the SDK (``import syft_ext as sy``)."""

from syft_ext._version import __version__

__all__ = ["__version__"]
