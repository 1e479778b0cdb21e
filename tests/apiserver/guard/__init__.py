"""What a handler's token permits: RBAC, and the admission policies, which know the node of the token.

Two handlers on two nodes, with tokens like those of their pods. Each test compares the denial's message with the
policy's, so that no request is denied for another reason by chance.
"""
