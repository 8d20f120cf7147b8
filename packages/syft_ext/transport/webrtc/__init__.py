"""WebRTC sessions between two that nothing else connects: pipes over their data channels, and how they are opened.

Knows channels, candidates and pipes; must not know a node, or what is said over them. What passes between the two
ends is in ``docs/peers-protocol.md``. What needs the extra ``webrtc`` is imported when a session is opened.
"""
