"""The cryptography of RFC 9420, Section 5: cipher suites, labelled derivations, HPKE and signatures over library primitives.

`suites` is the face of the package; everything else is a part of it. No exception of a cryptographic library leaves it.
"""
