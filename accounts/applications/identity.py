"""Whether two descriptions can be of the same person. No I/O, no clock, no grpc."""

from __future__ import annotations

import re
import unicodedata

from accounts.user import Personal

_WORD = re.compile(r"\w{2,}")
_NO_SIGNS = re.compile(r"[^A-Z0-9]")


def contradicts(known: Personal, claimed: Personal) -> bool:
    """Whether what is claimed is of another person than the one who is known. What is not known
    contradicts nothing; a name does if not one word of it is the same: people marry, and write
    themselves shorter.
    """
    if known.birth_date and known.birth_date != claimed.birth_date:
        return True
    if known.tax_id and _bare(known.tax_id) != _bare(claimed.tax_id):
        return True
    return _words(known.name).isdisjoint(_words(claimed.name))


def _bare(tax_id: str) -> str:
    return _NO_SIGNS.sub("", tax_id.upper())


def _words(name: str) -> frozenset[str]:
    """The words of a name, however it is written: without accents, in lower case."""
    bare = unicodedata.normalize("NFKD", name)
    letters = "".join(one for one in bare if not unicodedata.combining(one))
    found = _WORD.findall(letters.casefold())
    return frozenset(found or [letters.strip().casefold()])
