"""What group operations cost here, in other implementations of RFC 9420, and what their cryptography alone would cost.

`stage` makes the groups, `catalogue` names the operations, `contestants` are the implementations, each in a process of its own,
`runner` lets them take turns, and `report`, `plots` and `comparison` show what came out.
"""
