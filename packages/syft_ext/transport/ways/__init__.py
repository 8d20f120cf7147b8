"""One node by whichever way leads there: directly, by WebRTC, over a TURN server, or sealed through its Network.

Knows transports and the order in which they are tried; must not know what is said over them.
"""
