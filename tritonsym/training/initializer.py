"""`mx.init`: first values of parameters, chosen by a parameter's name or its own wish."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import random
from ..foundation.text import escaped, shown
from ..ndarray.core import NDArray
from ..ndarray.create import load
from .registry import Registry
from .rnn_weights import Layers


class InitDesc(str):
    """A parameter's name, with the attributes of its variable.

    Attributes:
        attrs: the variable's attributes; ``__init__`` names its own initializer.
        global_init: the initializer that all parameters are handed to.
    """

    attrs: dict[str, str]
    global_init: Initializer | None

    def __new__(
        cls,
        name: str,
        attrs: Mapping[str, str] | None = None,
        global_init: Initializer | None = None,
    ) -> InitDesc:
        made = super().__new__(cls, name)
        made.attrs = dict(attrs or {})
        made.global_init = global_init
        return made


class Initializer:
    """Fills arrays, each by the end of its name.

    Weights are what the subclasses fill in their own way; biases, betas and means become 0,
    gammas and variances 1.
    """

    def __init__(self, **kwargs: Any) -> None:
        self._kwargs = kwargs
        self._verbose = False
        self._print: Callable[[NDArray], str] = _root_mean_square

    def set_verbosity(
        self, verbose: bool = False, print_func: Callable[[NDArray], str] | None = None
    ) -> Initializer:
        """Whether to print what was filled, and how to say it in a text."""
        self._verbose = verbose
        self._print = print_func or _root_mean_square
        return self

    def dumps(self) -> str:
        """The initializer as JSON, which a variable can carry as its attribute ``__init__``."""
        return json.dumps([type(self).__name__.lower(), self._kwargs])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Initializer):
            return NotImplemented
        return type(self) is type(other) and self._kwargs == other._kwargs

    __hash__ = object.__hash__

    def __call__(self, desc: str, arr: NDArray) -> None:
        """Fill an array.

        Args:
            desc: the parameter's name, best an :class:`InitDesc` with the variable's attributes.
            arr: the array that is written.

        Raises:
            TypeError: no name or no array.
            ValueError: nothing follows from the name.
        """
        if not isinstance(desc, str):
            raise TypeError(f"name must be string, got {shown(desc)}")
        if not isinstance(arr, NDArray):
            raise TypeError(f"arr must be NDArray, {escaped(desc)} is {type(arr)}")
        own = ""
        if isinstance(desc, InitDesc):
            if desc.global_init is None:
                desc.global_init = self
            own = desc.attrs.get("__init__", "")
        if own:
            create(own)._init_weight(desc, arr)
        elif isinstance(desc, InitDesc):
            self._by_ending(desc, arr, _ENDINGS)
        elif desc.startswith("upsampling"):
            self._init_bilinear(desc, arr)
        elif desc.startswith("stn_loc") and desc.endswith("weight"):
            self._init_zero(desc, arr)
        elif desc.startswith("stn_loc") and desc.endswith("bias"):
            self._init_loc_bias(desc, arr)
        else:
            self._by_ending(desc, arr, _LEGACY_ENDINGS)
        if self._verbose:
            by = own or type(self).__name__
            logging.info("Initialized %s by %s: %s", escaped(desc), by, self._print(arr))

    def _by_ending(self, desc: str, arr: NDArray, endings: Mapping[str, str]) -> None:
        for ending, method in endings.items():
            if desc.endswith(ending):
                getattr(self, method)(desc, arr)
                return
        self._init_default(desc, arr)

    # ---- what a subclass may do in its own way ----

    def _init_weight(self, name: str, arr: NDArray) -> None:
        raise NotImplementedError(f"{type(self).__name__} does not say how to fill a weight")

    def _init_bias(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_gamma(self, name: str, arr: NDArray) -> None:
        arr[:] = 1

    def _init_beta(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_zero(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_one(self, name: str, arr: NDArray) -> None:
        arr[:] = 1

    def _init_quantized_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = np.floor(random.uniform(-127, 127, arr.shape).asnumpy())

    def _init_quantized_bias(self, name: str, arr: NDArray) -> None:
        arr[:] = 0

    def _init_bilinear(self, name: str, arr: NDArray) -> None:
        height, width = arr.shape[-2:]
        half = math.ceil(width / 2.0)
        center = (2 * half - 1 - half % 2) / (2.0 * half)
        tent = [1 - np.abs(np.arange(length) / half - center) for length in (height, width)]
        arr[:] = np.broadcast_to(np.outer(tent[0], tent[1]).astype(np.float32), arr.shape)

    def _init_loc_bias(self, name: str, arr: NDArray) -> None:
        assert arr.shape == (6,), f"{escaped(name)} is an affine map and needs shape (6,)"
        arr[:] = np.array([1, 0, 0, 0, 1, 0])

    def _init_default(self, name: str, arr: NDArray) -> None:
        raise ValueError(
            f"Unknown initialization pattern for {escaped(name)}. Values follow from names that "
            'end in "weight", "bias", "gamma" (1.0) and "beta" (0.0); give others with '
            "mx.sym.Variable(init=mx.init.*)"
        )


# What fills a parameter, by the end of its name.
_COMMON = {
    "weight": "_init_weight",
    "bias": "_init_bias",
    "gamma": "_init_gamma",
    "beta": "_init_beta",
    "min": "_init_zero",
    "max": "_init_one",
}
_ENDINGS = {
    **_COMMON,
    "weight_quantize": "_init_quantized_weight",
    "bias_quantize": "_init_quantized_bias",
}
# A name without attributes comes from programs that are older than attributes.
_LEGACY_ENDINGS = {
    **_COMMON,
    **dict.fromkeys(("moving_mean", "moving_inv_var", "moving_avg"), "_init_zero"),
    "moving_var": "_init_one",
}


def _root_mean_square(arr: NDArray) -> str:
    return str(math.sqrt(float(np.square(arr.asnumpy().astype(np.float64)).mean())))


_registry: Registry[Initializer] = Registry(Initializer, "initializer")
alias = _registry.alias


def register(klass: type[Initializer]) -> type[Initializer]:
    """Register a class, so that its name in lower case finds it."""
    return _registry.add(klass)


def create(initializer: Initializer | str | dict[str, Any], **kwargs: Any) -> Initializer:
    """An initializer by name, from a configuration, or the text of :meth:`Initializer.dumps`.

    Raises:
        AssertionError: the name is not registered.
    """
    return _registry.create(initializer, **kwargs)


class Load:
    """Values from a file or a dict, whose names may begin with ``arg:`` or ``aux:``.

    Args:
        param: a path, or arrays by name.
        default_init: fills what is not there.
        verbose: print where each value comes from.
    """

    def __init__(
        self,
        param: str | Path | Mapping[str, NDArray],
        default_init: Callable[[str, NDArray], object] | None = None,
        verbose: bool = False,
    ) -> None:
        found = load(param) if isinstance(param, (str, Path)) else param
        assert isinstance(found, Mapping), f"Load needs arrays by name, got {type(found)}"
        self.param = {re.sub("^(arg|aux):", "", name): value for name, value in found.items()}
        self.default_init = default_init
        self.verbose = verbose

    def __call__(self, name: str, arr: NDArray) -> None:
        """Fill an array from its name.

        Raises:
            AssertionError: another shape, or a name that is not there and no default.
        """
        if name in self.param:
            have = self.param[name]
            assert arr.shape == have.shape, (
                f"Parameter {escaped(name)} cannot be initialized from loading. Shape mismatch, "
                f"target {arr.shape} vs loaded {have.shape}"
            )
            arr[:] = have
        else:
            assert self.default_init is not None, (
                f"Cannot Initialize {escaped(name)}: it is not among the loaded arrays, and no "
                "default initializer is given"
            )
            self.default_init(name, arr)
        if self.verbose:
            by = "loading" if name in self.param else "default"
            logging.info("Initialized %s by %s", escaped(name), by)


class Mixed:
    """The initializer of the first pattern that a name matches.

    Args:
        patterns: regular expressions, tried in order.
        initializers: one per pattern.
    """

    def __init__(
        self, patterns: Sequence[str], initializers: Sequence[Callable[[str, NDArray], object]]
    ) -> None:
        assert len(patterns) == len(initializers), (
            f"{len(patterns)} patterns for {len(initializers)} initializers"
        )
        self.map = [(re.compile(p), one) for p, one in zip(patterns, initializers, strict=True)]

    def __call__(self, name: str, arr: NDArray) -> None:
        """Fill an array.

        Raises:
            ValueError: no pattern matches the name.
        """
        for pattern, initializer in self.map:
            if pattern.match(name):
                initializer(name, arr)
                return
        raise ValueError(
            f"Parameter name {escaped(name)} did not match any pattern: consider adding a pattern "
            '".*" at the end with a default initializer'
        )


@_registry.register("zeros")
class Zero(Initializer):
    """Weights are 0."""

    def __init__(self) -> None:
        super().__init__()

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = 0


@_registry.register("ones")
class One(Initializer):
    """Weights are 1."""

    def __init__(self) -> None:
        super().__init__()

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = 1


@_registry.register()
class Constant(Initializer):
    """Weights are one value, or an array that broadcasts to them."""

    def __init__(self, value: Any) -> None:
        super().__init__(value=value)
        self.value = value

    def dumps(self) -> str:
        """The initializer as JSON; an array becomes lists."""
        plain = self.value.tolist() if hasattr(self.value, "tolist") else self.value
        return json.dumps([type(self).__name__.lower(), {"value": plain}])

    def _init_weight(self, name: str, arr: NDArray) -> None:
        arr[:] = self.value


@_registry.register()
class Uniform(Initializer):
    """Weights are uniform in ``[-scale, scale)``."""

    def __init__(self, scale: float = 0.07) -> None:
        super().__init__(scale=scale)
        self.scale = scale

    def _init_weight(self, name: str, arr: NDArray) -> None:
        random.uniform(-self.scale, self.scale, out=arr)


@_registry.register()
class Normal(Initializer):
    """Weights are normal with mean 0 and standard deviation ``sigma``."""

    def __init__(self, sigma: float = 0.01) -> None:
        super().__init__(sigma=sigma)
        self.sigma = sigma

    def _init_weight(self, name: str, arr: NDArray) -> None:
        random.normal(0, self.sigma, out=arr)


@_registry.register()
class Orthogonal(Initializer):
    """Weights are a matrix with orthonormal rows (or columns, if there are more), times ``scale``.

    Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning in deep
    linear neural networks", 2014.

    Args:
        scale: a factor.
        rand_type: ``uniform`` or ``normal``: the random matrix that it is made from.
    """

    def __init__(self, scale: float = 1.414, rand_type: str = "uniform") -> None:
        super().__init__(scale=scale, rand_type=rand_type)
        self.scale = scale
        self.rand_type = rand_type

    def _init_weight(self, name: str, arr: NDArray) -> None:
        shape = (arr.shape[0], math.prod(arr.shape[1:]))
        draw = random.uniform if self.rand_type == "uniform" else random.normal
        start = draw(-1.0 if self.rand_type == "uniform" else 0.0, 1.0, shape).asnumpy()
        left, _, right = np.linalg.svd(start.astype(np.float64), full_matrices=False)
        basis = left if left.shape == shape else right
        arr[:] = (self.scale * basis).reshape(arr.shape)


@_registry.register()
class Xavier(Initializer):
    """Weights are random, of a width that keeps the size of what goes through the layer.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural networks",
    2010. The width is sqrt(``magnitude`` / n), where n is the number of inputs of a unit, of
    outputs, or their mean.

    Args:
        rnd_type: ``uniform`` or ``gaussian``.
        factor_type: ``avg``, ``in`` or ``out``.
        magnitude: see above.
    """

    def __init__(
        self, rnd_type: str = "uniform", factor_type: str = "avg", magnitude: float = 3
    ) -> None:
        super().__init__(rnd_type=rnd_type, factor_type=factor_type, magnitude=magnitude)
        self.rnd_type = rnd_type
        self.factor_type = factor_type
        self.magnitude = float(magnitude)

    def _init_weight(self, name: str, arr: NDArray) -> None:
        if arr.ndim < 2:
            raise ValueError(
                f"Xavier initializer cannot be applied to vector {escaped(name)}. It requires at "
                "least 2D."
            )
        area = math.prod(arr.shape[2:])
        inputs, outputs = arr.shape[1] * area, arr.shape[0] * area
        factors = {"avg": (inputs + outputs) / 2.0, "in": inputs, "out": outputs}
        if self.factor_type not in factors:
            raise ValueError(f"Incorrect factor type {shown(self.factor_type)}: avg, in or out")
        scale = math.sqrt(self.magnitude / factors[self.factor_type])
        if self.rnd_type == "uniform":
            random.uniform(-scale, scale, out=arr)
        elif self.rnd_type == "gaussian":
            random.normal(0, scale, out=arr)
        else:
            raise ValueError(f"Unknown random type {shown(self.rnd_type)}: uniform or gaussian")


@_registry.register()
class MSRAPrelu(Xavier):
    """:class:`Xavier` for layers that a leaky ReLU follows.

    He, Zhang, Ren and Sun, "Delving deep into rectifiers", 2015.

    Args:
        factor_type: as for :class:`Xavier`.
        slope: of the ReLU below zero.
    """

    def __init__(self, factor_type: str = "avg", slope: float = 0.25) -> None:
        super().__init__("gaussian", factor_type, 2.0 / (1 + slope**2))
        self._kwargs = {"factor_type": factor_type, "slope": slope}


@_registry.register()
class Bilinear(Initializer):
    """Weights of a deconvolution that enlarges pictures by linear interpolation."""

    def __init__(self) -> None:
        super().__init__()

    def _init_weight(self, name: str, arr: NDArray) -> None:
        self._init_bilinear(name, arr)


@_registry.register()
class LSTMBias(Initializer):
    """The bias of an LSTM: ``forget_bias`` for the forget gate, the second of four, else 0."""

    def __init__(self, forget_bias: float = 1.0) -> None:
        super().__init__(forget_bias=forget_bias)
        self.forget_bias = forget_bias

    def _init_weight(self, name: str, arr: NDArray) -> None:
        units = arr.shape[0] // 4
        values = np.zeros(arr.shape, np.float32)
        values[units : 2 * units] = self.forget_bias
        arr[:] = values


@_registry.register()
class FusedRNN(Initializer):
    """The weights of recurrent layers in one vector, each as it would be on its own.

    Args:
        init: fills the pieces, whose names end in ``_weight`` and ``_bias``; an initializer, its
            text, or None for the one that all parameters are handed to.
        num_hidden, num_layers, mode, bidirectional: of the layers.
        forget_bias: the bias of forget gates.
    """

    def __init__(
        self,
        init: Initializer | str | None,
        num_hidden: int,
        num_layers: int,
        mode: str,
        bidirectional: bool = False,
        forget_bias: float = 1.0,
    ) -> None:
        self._init = create(init) if isinstance(init, str) else init
        super().__init__(
            init=None if self._init is None else self._init.dumps(),
            num_hidden=num_hidden,
            num_layers=num_layers,
            mode=mode,
            bidirectional=bidirectional,
            forget_bias=forget_bias,
        )
        self._layers = Layers(num_hidden, num_layers, mode, bidirectional)
        self._forget_bias = forget_bias

    def _init_weight(self, name: str, arr: NDArray) -> None:
        outer = name.global_init if isinstance(name, InitDesc) else None
        inner = outer if self._init is None else self._init
        if inner is None or inner is self:
            raise ValueError(f"{escaped(name)} needs an initializer for its pieces")
        for piece, view in self._layers.views(arr).items():
            if self._layers.mode == "lstm" and piece.endswith("_f_bias"):
                view[:] = self._forget_bias
            else:
                inner(InitDesc(piece, global_init=outer), view)
