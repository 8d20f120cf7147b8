"""WebSocket connections: handshake, multiplexing, and the memory that they may take.

Knows frames; must not know operations.
"""
