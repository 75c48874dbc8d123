"""Arrays for gradients that are made when they are first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping

from ..foundation.dtype import as_dtype
from ..foundation.text import shown
from ..ndarray.core import NDArray
from ..ndarray.create import filled


class GradientArrays(Mapping[str, NDArray]):
    """A gradient array for each of some arguments: of its shape and dtype, where it is.

    Training by one program needs none of them, so they have no memory before a backward pass, or
    whoever looks at them, asks for them. They hold zeros then.

    Args:
        arguments: the arrays that have gradients, by name.
        made: those that are there already, by name, to which new ones are added.
    """

    def __init__(
        self, arguments: Mapping[str, NDArray], made: MutableMapping[str, NDArray]
    ) -> None:
        self._arguments = arguments
        self._made = made

    def __getitem__(self, name: str) -> NDArray:
        """The gradient array of an argument.

        Raises:
            KeyError: an argument that has none.
            MXNetError: there is not as much memory.
        """
        argument = self._arguments[name]
        if name not in self._made:
            dtype = as_dtype(argument._tensor.dtype)
            self._made[name] = filled(
                argument.shape, 0, dtype, argument.context, f"gradient {shown(name)}"
            )
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arguments)

    def __len__(self) -> int:
        return len(self._arguments)
