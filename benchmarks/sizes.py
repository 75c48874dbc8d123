"""All sizes of all workloads, in one place: for a CPU, for a GPU, and tiny ones for the tests."""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[int, int]
Triple = tuple[int, int, int]


@dataclass(frozen=True)
class LSTMSize:
    """A layer over sequences of words.

    Attributes:
        dtype: for inference; training is in float32.
    """

    batch: int
    length: int
    width: int
    words: int
    dtype: str


@dataclass(frozen=True)
class BlockSize:
    """A transformer's block."""

    batch: int
    length: int
    width: int
    heads: int
    inner: int
    dtype: str


@dataclass(frozen=True)
class Sizes:
    """How large everything is, on one device.

    Attributes:
        tutorial, chain: numbers of elements.
        bias_gelu, outer_add, transposed_add: rows and columns.
        softmax, layer_norm, layer_norm_gradients, cross_entropy: rows and their length.
        row_dtype: of these.
        sum_all: a number of elements; sum_columns: rows and columns.
        square, square_dtypes: the sides of square products, and in which dtypes they are.
        square_precisions: and float32 otherwise than exactly, at the side of `precise`.
        skinny: m, k and n of products with one short side.
        ragged: m, k and n that no tile divides.
        fused: m, k and n of products with bias, gelu and a sum after them.
        batched: count, and m, k, n of each product.
        product_dtype: of these.
        perceptron_batches, perceptron_widths: of the perceptron's forward pass; a step is made at
            the last batch.
        tiny: how many tiny operators, and rows and columns of each.
        block, lstm: of a transformer and of a recurrent network.
        lenet_batch: images of a batch.
        residual: batch, channels and side of the image.
        image_dtype: of networks of images, in a forward pass.
        adam: how many parameters, and rows and columns of each.
        chained_nodes: how long the chain is whose handling is measured.
        ceiling_elements, ceiling_side: of the copy and the product that measure the ceilings.
    """

    tutorial: tuple[int, ...]
    chain: tuple[int, ...]
    bias_gelu: Pair
    outer_add: Pair
    transposed_add: Pair
    softmax: tuple[Pair, ...]
    layer_norm: tuple[Pair, ...]
    layer_norm_gradients: Pair
    cross_entropy: Pair
    row_dtype: str
    sum_all: int
    sum_columns: Pair
    square: tuple[int, ...]
    square_dtypes: tuple[str, ...]
    precise: int
    square_precisions: tuple[str, ...]
    skinny: tuple[Triple, ...]
    ragged: Triple
    fused: tuple[Triple, ...]
    batched: tuple[int, int, int, int]
    product_dtype: str
    perceptron_batches: tuple[int, ...]
    perceptron_widths: tuple[int, ...]
    block: BlockSize
    tiny: Triple
    lenet_batch: int
    residual: Triple
    image_dtype: str
    lstm: LSTMSize
    adam: Triple
    chained_nodes: int
    ceiling_elements: int
    ceiling_side: int


CPU = Sizes(
    tutorial=(1, 10**4, 10**6, 10**7),
    chain=(10**4, 10**6, 10**7),
    bias_gelu=(1024, 1024),
    outer_add=(1024, 4096),
    transposed_add=(2048, 2048),
    softmax=((1024, 1024), (4, 2**20)),
    layer_norm=((1024, 1024), (8192, 128)),
    layer_norm_gradients=(1024, 1024),
    cross_entropy=(256, 10000),
    row_dtype="float32",
    sum_all=2**24,
    sum_columns=(8192, 1024),
    square=(128, 512, 1024),
    square_dtypes=("float32",),
    precise=1024,
    square_precisions=(),
    skinny=((1, 1024, 1024), (16, 1024, 2048), (32, 8192, 32), (1024, 1, 1024)),
    ragged=(509, 1021, 499),
    fused=((512, 1024, 512), (64, 256, 256)),
    batched=(16, 128, 128, 64),
    product_dtype="float32",
    perceptron_batches=(1, 128),
    perceptron_widths=(784, 512, 512, 10),
    block=BlockSize(2, 128, 256, 4, 1024, "float32"),
    tiny=(100, 64, 64),
    lenet_batch=64,
    residual=(8, 64, 28),
    image_dtype="float32",
    lstm=LSTMSize(32, 20, 200, 2000, "float32"),
    adam=(100, 256, 256),
    chained_nodes=10**5,
    ceiling_elements=2**26,
    ceiling_side=2048,
)

CUDA = Sizes(
    tutorial=(10**6, 2**26),
    chain=(2**26,),
    bias_gelu=(8192, 4096),
    outer_add=(4096, 4096),
    transposed_add=(8192, 8192),
    softmax=((16384, 4096), (32768, 256), (4096, 65536), (1024, 262144)),
    layer_norm=((16384, 4096), (32768, 256), (4096, 65536)),
    layer_norm_gradients=(16384, 4096),
    cross_entropy=(8192, 50304),
    row_dtype="bfloat16",
    sum_all=2**28,
    sum_columns=(65536, 4096),
    square=(512, 1024, 2048, 4096, 8192),
    square_dtypes=("bfloat16", "float16"),
    precise=4096,
    square_precisions=("ieee", "tf32", "tf32x3"),
    skinny=(
        (1, 4096, 4096),
        (16, 4096, 11008),
        (32, 32768, 32),
        (128, 4096, 4096),
        (4096, 1, 4096),
        (4096, 7, 4096),
    ),
    ragged=(4095, 4093, 4099),
    fused=((4096, 4096, 4096), (2048, 768, 3072), (256, 1024, 1024)),
    batched=(64, 512, 64, 512),
    product_dtype="bfloat16",
    perceptron_batches=(256,),
    perceptron_widths=(784, 1024, 1024, 10),
    block=BlockSize(8, 1024, 1024, 16, 4096, "bfloat16"),
    tiny=(100, 64, 64),
    lenet_batch=128,
    residual=(64, 64, 56),
    image_dtype="bfloat16",
    lstm=LSTMSize(64, 35, 650, 10000, "bfloat16"),
    adam=(100, 1024, 1024),
    chained_nodes=10**5,
    ceiling_elements=2**28,
    ceiling_side=8192,
)

# The same shapes of computation; every size is one that the interpreter of kernels can take.
TINY = Sizes(
    tutorial=(1, 100),
    chain=(100,),
    bias_gelu=(4, 32),
    outer_add=(8, 16),
    transposed_add=(16, 16),
    softmax=((4, 32), (2, 300)),
    layer_norm=((4, 32),),
    layer_norm_gradients=(4, 32),
    cross_entropy=(4, 11),
    row_dtype="float32",
    sum_all=1000,
    sum_columns=(16, 8),
    square=(32,),
    square_dtypes=("float32",),
    precise=32,
    square_precisions=(),
    skinny=((1, 32, 32), (4, 1, 8)),
    ragged=(17, 33, 15),
    fused=((16, 32, 16),),
    batched=(2, 16, 8, 16),
    product_dtype="float32",
    perceptron_batches=(2, 4),
    perceptron_widths=(12, 8, 8, 4),
    block=BlockSize(2, 8, 16, 2, 32, "float32"),
    tiny=(6, 4, 4),
    lenet_batch=2,
    residual=(2, 4, 8),
    image_dtype="float32",
    lstm=LSTMSize(2, 3, 4, 7, "float32"),
    adam=(3, 4, 4),
    chained_nodes=20,
    ceiling_elements=1000,
    ceiling_side=32,
)
