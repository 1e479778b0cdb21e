"""Compares quantities of Kubernetes, such as `100m` and `0.1`, or `1Gi` and `1024Mi`. Pure.

The API server sends quantities in a canonical form, but one amount has several: `1024Mi` stays as it is.
"""

import re
from fractions import Fraction
from typing import Final

_FORM: Final = re.compile(r"([+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?[0-9]{1,2}))?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
#: The smallest amount that the API server distinguishes; it rounds up.
_PARTS: Final = 10**9


def parse(text: str) -> Fraction:
    """Return the amount, rounded up to a billionth; raises ValueError."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:64]!r} is not a quantity")
    number, suffix, exponent = Fraction(match[1]), match[2], match[3]
    if suffix in _BINARY:
        factor = Fraction(2) ** _BINARY[suffix]
    else:
        factor = Fraction(10) ** (int(exponent) if exponent else _DECIMAL.get(suffix, 0))
    return Fraction(-(-number * factor * _PARTS // 1), _PARTS)
