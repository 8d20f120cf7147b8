"""How a node is reached: REST, the signed message plane and WebSockets, on Flask and gevent.

Import from the modules; nothing is imported here, so that :mod:`grid.web.patching` can come first.

Knows requests and the node's dispatch; must not know any one service.
"""
