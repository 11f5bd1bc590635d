"""What the generator reads of an answer's headers: its status, as cheaply as can be.

Every answer has a trace id of its own, so whole blocks do not repeat, and decoding one takes
several times as long as the rest of a call does here. What is looked for stands in few forms; only
what has none of them is decoded.
"""

from __future__ import annotations

import hpack
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from loadtest.outcome import Outcome

#: `:status: 200` by its place in the static table (RFC 7541, appendix A).
_OK = b"\x88"
_HUFFMAN = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)
_CODES = 17


def _strings(text: str) -> tuple[bytes, bytes]:
    """A short string as HPACK writes it: plain, and in Huffman's code."""
    plain = text.encode("ascii")
    coded = _HUFFMAN.encode(plain)
    return bytes((len(plain),)) + plain, bytes((0x80 | len(coded),)) + coded


#: The header `grpc-status` with each code, in all forms.
_GRPC_STATUS = _strings("grpc-status")
_VALUES = {form: code for code in range(_CODES) for form in _strings(str(code))}


class AnswerHeaders:
    """Reads the header blocks of one connection; its table must be of size 0."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder()

    def status(self, block: bytes, *, ends: bool) -> int:
        """The gRPC status that a block tells, 0 if none; HTTP_ERROR if HTTP's own is not 200."""
        if not ends and block.startswith(_OK):
            return 0
        for name in _GRPC_STATUS:
            at = block.find(name)
            if at >= 0:
                value = block[at + len(name) :]
                code = _VALUES.get(value[:2], _VALUES.get(value[:3]))
                if code is not None:
                    return code
        return self._decoded(block)

    def _decoded(self, block: bytes) -> int:
        headers = {str(name): str(value) for name, value in self._decoder.decode(block)}
        code = int(headers.get("grpc-status", "0"))
        plain = headers.get(":status", "200") == "200"
        return code or (0 if plain else int(Outcome.HTTP_ERROR))
