"""What the code of a kernel must not contain: instructions that are not as exact as promised."""

from __future__ import annotations

import re
from collections.abc import Iterable

_INSTRUCTION = re.compile(r"(?:^|[;{])\s*(?:@!?%?p\w*\s+)?([a-z][\w.:]*)\s", re.MULTILINE)

# What no kernel may contain, and why.
FORBIDDEN = {
    r"div\.(full|approx)": "a quotient that is not rounded correctly",
    r"(rcp|sqrt|rsqrt)\.approx": "a reciprocal or root that is not rounded correctly",
    r"(ex2|lg2|sin|cos|tanh)\.approx": "a function whose error grows with its argument",
    r"(min|max)(\.ftz)?\.(f16|bf16|f32|f64)": "an extreme that drops NaN",
    r"(add|sub|mul|fma|cvt|max|min|abs|neg|setp|set)\.[\w.]*ftz": "denormals become zero",
    r"cvt\.rz\.(f16|bf16|f32)": "a conversion that truncates",
    r"add\.(f16|bf16)": "a sum in 16 bits",
    r"(atom|red)\.": "an order of additions that changes from run to run",
    r"(ld|st)\.local": "memory of a thread's own, because registers ran out",
}

# What libdevice does with such instructions, where it is as exact as its documentation says, by
# the primitive.
_SCALED = {"ex2.approx.ftz.f32": "the argument was reduced to a fraction of one before"}
_REFINED = {"rcp.approx.ftz.f64": "a first guess, which Newton's method refines"}
_REFINED_ROOT = {"rsqrt.approx.ftz.f64": "a first guess, which Newton's method refines"}
_ROOT = {"sqrt.approx.f32": "off by one unit at most, on the way to a result off by more"}
_RECIPROCAL = {"rcp.approx.ftz.f32": "off by one unit at most, on the way to one off by more"}
_REDUCED = dict.fromkeys(
    ("ld.local.b32", "ld.local.b64", "st.local.b32", "st.local.b64"),
    "digits of 2/pi, by which large arguments are reduced",
)
_GUARDED = "NaN was looked for before: there is no max.NaN.f64"

ALLOWED: dict[str, dict[str, str]] = {
    "exp": _SCALED,
    "sigmoid": _SCALED,
    "expm1": {"ex2.approx.f32": "the argument was reduced to a fraction of one before"},
    "erf": _SCALED,
    "tanh": _SCALED | _RECIPROCAL | _REFINED,
    "sinh": _SCALED | {"div.approx.f32": "the smaller of two terms"},
    "cosh": _SCALED | {"div.approx.f32": "the smaller of two terms"} | _REFINED,
    "pow": _SCALED | _RECIPROCAL | _REFINED,
    "cbrt": _SCALED
    | _RECIPROCAL
    | _REFINED
    | dict.fromkeys(("lg2.approx.f32", "lg2.approx.ftz.f32"), "a first guess, which is refined"),
    "sin": _REDUCED,
    "cos": _REDUCED,
    "tan": _RECIPROCAL | _REFINED | _REDUCED,
    "arcsin": _ROOT | _REFINED_ROOT,
    "arccos": _ROOT | _REFINED_ROOT,
    "arctan": _REFINED,
    "arcsinh": _ROOT
    | _RECIPROCAL
    | _REFINED
    | _REFINED_ROOT
    | {"lg2.approx.f32": "of an argument far from one"},
    "arccosh": _ROOT | _REFINED | _REFINED_ROOT,
    "arctanh": _RECIPROCAL | _REFINED,
    "log": _REFINED,
    "log2": _REFINED,
    "log10": _REFINED,
    "log1p": _REFINED,
    "gammaln": _RECIPROCAL | _REFINED,
    "hypot": _ROOT | _REFINED_ROOT | {"min.f64": "of magnitudes, where NaN was looked for before"},
    "mod": _RECIPROCAL | {"div.approx.f32": "a guess of the quotient, whose remainder is exact"},
    "maximum": {"max.f64": _GUARDED},
    "minimum": {"min.f64": _GUARDED},
    "max": {"max.f64": _GUARDED},
    "min": {"min.f64": _GUARDED},
}


def instructions(ptx: str) -> frozenset[str]:
    """What a kernel consists of."""
    return frozenset(_INSTRUCTION.findall(ptx))


def findings(ptx: str, primitives: Iterable[str] = ()) -> dict[str, str]:
    """The instructions of a kernel that are forbidden, with the reasons.

    Args:
        ptx: its code.
        primitives: what it computes, in which some of them are allowed.
    """
    allowed = {instruction for name in primitives for instruction in ALLOWED.get(name, {})}
    return {
        instruction: reason
        for instruction in sorted(instructions(ptx) - allowed)
        for pattern, reason in FORBIDDEN.items()
        if re.match(pattern, instruction)
    }
