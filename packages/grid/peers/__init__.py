"""Peers that reach a node by WebRTC: their offers and what limits them, servers that help, ends of the sessions.

Knows session descriptions as text, and who may ask how often; must not know what is said over the sessions.
"""
