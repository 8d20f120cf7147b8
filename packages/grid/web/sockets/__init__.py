"""WebSocket connections: handshake, and the memory that they may take.

Knows frames; must not know operations.
"""
