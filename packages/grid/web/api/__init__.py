"""Operations on the web: REST, the signed message plane, events, and the OpenAPI page made of them.

Knows messages and the node's dispatch; must not know any one service.
"""
