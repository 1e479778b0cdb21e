"""What a handler's token may do and what it may not: RBAC, and the admission policies, which know its node.

Two handlers of two nodes, with tokens as their pods have them. Each denial is compared with the policy's own words, so
that none of them is another one's by chance.
"""
