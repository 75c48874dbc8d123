"""Plans as HTML for a notebook: the kernels in order, and the arena as a picture of lifetimes.

One piece of text that needs nothing from elsewhere: no scripts, no fonts, no addresses. All that
comes from a graph is escaped, since names are whatever a file says.
"""

from __future__ import annotations

from html import escape

from .memory import Lifetime
from .places import Place
from .plan import Plan
from .plan_text import counted, floor, kernel_lines, moved, refusal_lines, title, total_moved

_SHOWN_KERNELS = 200
_SHOWN_LIFETIMES = 1000
# Of the picture of the arena, in its own units.
_WIDTH, _HEIGHT = 720, 240
_COLOURS = ("#4e79a7", "#f28e2b", "#59a14f", "#b07aa1", "#76b7b2", "#edc948", "#9c755f", "#e15759")
_FORMS = {
    "pointwise": "#59a14f",
    "rows": "#4e79a7",
    "matmul": "#f28e2b",
    "combined": "#76b7b2",
    "single": "#9c755f",
}

_STYLE = """
.tritonsym-plan { font-family: sans-serif; font-size: 13px; max-width: 760px; }
.tritonsym-plan details { border: 1px solid #8888; border-radius: 4px; margin: 3px 0; }
.tritonsym-plan summary { padding: 3px 8px; cursor: pointer; overflow-wrap: anywhere; }
.tritonsym-plan pre { margin: 0 8px 6px; white-space: pre-wrap; }
.tritonsym-plan .bar { height: 4px; }
.tritonsym-plan svg { border: 1px solid #8888; width: 100%; height: auto; }
"""


def html(plan: Plan) -> str:
    """What a notebook shows of a plan: well-formed, self-contained, everything escaped."""
    total, least = total_moved(plan), floor(plan)
    parts = [
        f'<div class="tritonsym-plan"><style>{_STYLE}</style>',
        f"<p>{counted(len(plan.kernels), 'kernel')}, {counted(len(plan.outputs), 'output')}; "
        f"{total:,} bytes moved, at least {least:,}</p>",
        _bar("#59a14f", least, max(total, least)),
        _bar("#e15759", total, max(total, least)),
    ]
    largest = max((moved(plan, kernel) for kernel in plan.kernels), default=1)
    for number in range(min(len(plan.kernels), _SHOWN_KERNELS)):
        parts.append(_kernel(plan, number, largest))
    if len(plan.kernels) > _SHOWN_KERNELS:
        parts.append(f"<p>and {counted(len(plan.kernels) - _SHOWN_KERNELS, 'more kernel')}</p>")
    parts.append(
        f"<p>arena: {plan.arena_size:,} bytes, {plan.size_without_reuse:,} without reuse of "
        "memory; time to the right, bytes downwards</p>"
    )
    parts.append(_arena(plan))
    if plan.refusals:
        shown = escape("\n".join(refusal_lines(plan)))
        parts.append(
            f"<details><summary>not computed together</summary><pre>{shown}</pre></details>"
        )
    return "\n".join([*parts, "</div>"])


def _bar(colour: str, part: int, whole: int) -> str:
    """A bar as long as its part of the whole."""
    width = 100 * part / max(whole, 1)
    return f'<div class="bar" style="width: {width:.2f}%; background: {colour}"></div>'


def _kernel(plan: Plan, number: int, largest: int) -> str:
    kernel = plan.kernels[number]
    head, *lines = kernel_lines(plan, number, kernel)
    colour = _FORMS.get(kernel.form, _COLOURS[-1])
    text = escape("\n".join(line.removeprefix(" " * 6) for line in lines))
    return (
        f"<details><summary>{escape(head.strip())}</summary><pre>{text}</pre>"
        f"{_bar(colour, moved(plan, kernel), largest)}</details>"
    )


def _arena(plan: Plan) -> str:
    """Each value of the arena as a rectangle: when it is in use, and where it lies."""
    held = [
        (x, plan.places[x], lifetime)
        for x, lifetime in plan.lifetimes.items()
        if plan.places[x].output is None
    ][:_SHOWN_LIFETIMES]
    steps = 1 + max((lifetime.last for _, _, lifetime in held), default=0)
    shapes = [
        _rectangle(plan, place, lifetime, steps, title(plan, x), _COLOURS[n % len(_COLOURS)])
        for n, (x, place, lifetime) in enumerate(held)
    ]
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">{"".join(shapes)}</svg>'


def _rectangle(
    plan: Plan, place: Place, lifetime: Lifetime, steps: int, name: str, colour: str
) -> str:
    across, down = _WIDTH / steps, _HEIGHT / max(plan.arena_size, 1)
    words = f"{name}: {lifetime.size:,} bytes at {place.offset:,}"
    return (
        f'<rect x="{lifetime.first * across:.3f}" y="{place.offset * down:.3f}" '
        f'width="{(lifetime.last - lifetime.first + 1) * across:.3f}" '
        f'height="{lifetime.size * down:.3f}" fill="{colour}" fill-opacity="0.7">'
        f"<title>{escape(words)}</title></rect>"
    )
