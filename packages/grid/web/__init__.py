"""How a node is reached: REST, the signed message plane and WebSockets, on one router and gevent; Flask for pages.

Import from the modules; nothing is imported here, so that :mod:`grid.web.patching` can come first.

Knows requests and the node's dispatch; must not know any one service.
"""
