"""The TLS presentation language of MLS (RFC 9420, Section 2.1).

A struct is declared once, as a class whose annotations are the wire types, in the order of the RFC's text:

    @struct
    class ParentNode:
        encryption_key: opaque
        parent_hash: opaque
        unmerged_leaves: vector[uint32]

`struct` makes it a frozen dataclass with slots and compiles one straight-line encoder and one straight-line decoder for it.
`encode(value)` and `decode(ParentNode, data)` use them; decoding is bounds-checked and accepts nothing but the one encoding
that `encode` would write. The wire types:

    uint8 .. uint64      big-endian integers                 an `Enum8`/`Enum16` subclass: a closed enumeration
    opaque               bytes with a length prefix          `vector[T]`: a tuple with a length prefix in bytes
    optional[T]          presence octet, then T              `lazy[T]`: a vector that is unpacked only where it is read
                                                         `bounded[T]`: a vector of no absurd number of elements
    Annotated[A | B, Tagged(width, {1: A, 2: B})]            select (tag) { case 1: A; case 2: B; }
    Annotated[T | None, When("field", predicate)]            T, present iff predicate(value of the earlier field)
"""

from dmls.mls.codec.compiler import Kept, decode, decode_as, decode_prefix, decoder_of, encode, encode_as, encoder_of, struct
from dmls.mls.codec.primitives import (
    MAX_ELEMENTS,
    MAX_VECTOR,
    Decoder,
    Encoder,
    check_end,
    encode_length,
    encode_opaque,
    read_length,
    read_presence,
)
from dmls.mls.codec.wire_types import (
    Enum8,
    Enum16,
    Lazy,
    OpenCase,
    Tagged,
    When,
    bounded,
    lazy,
    opaque,
    optional,
    uint8,
    uint16,
    uint32,
    uint64,
    vector,
)

__all__ = [
    "MAX_ELEMENTS",
    "MAX_VECTOR",
    "Decoder",
    "Encoder",
    "Enum8",
    "Enum16",
    "Kept",
    "Lazy",
    "OpenCase",
    "Tagged",
    "When",
    "bounded",
    "check_end",
    "decode",
    "decode_as",
    "decode_prefix",
    "decoder_of",
    "encode",
    "encode_as",
    "encode_length",
    "encode_opaque",
    "encoder_of",
    "lazy",
    "opaque",
    "optional",
    "read_length",
    "read_presence",
    "struct",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "vector",
]
