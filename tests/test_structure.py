"""How the package is put together: who may import whom, tables that agree, operators complete."""

from __future__ import annotations

import ast
import pydoc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tritonsym as mx
from tritonsym import expr, reference
from tritonsym.op import Op, operator, registered

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tritonsym"
# `tritonsym/ops` is a link to this folder.
OPERATORS = ROOT / "ops"


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What every module above it may import: texts, errors, shapes, data types.
FOUNDATION = words("text errors shape dtype")
OPERATOR = "expr schema op reference special ops.common"

# Each module, and what else of this package it may import. What stands lower stands first.
LAYERS: dict[str, frozenset[str]] = {
    "text": words(""),
    "errors": words(""),
    "shape": words(""),
    "dtype": words(""),
    # leaves
    "collector": words(""),
    "progress": words(""),
    "memory": words(""),
    "philox": words(""),
    "attribute": words(""),
    "name": words(""),
    "context": words(""),
    "gpus": words("context"),
    "files": words(""),
    "switches": words(""),
    "allocation": words(""),
    "module_cache": words("files"),
    "triton_math": words(""),
    "triton_random": words("triton_math"),
    # expressions and what they mean
    "expr": words(""),
    "schema": words(""),
    "reference": words("expr philox"),
    "special": words("expr"),
    "grad": words("expr special"),
    # operators
    "op": words("expr schema reference"),
    "ops.common": words("expr schema op reference"),
    "ops.activation": words(OPERATOR),
    "ops.convolution": words(OPERATOR),
    "ops.creation": words(OPERATOR),
    "ops.broadcasting": words(OPERATOR),
    "ops.elementwise": words(OPERATOR),
    "ops.indexing": words(OPERATOR),
    "ops.matrix": words(OPERATOR),
    "ops.movement": words(OPERATOR),
    "ops.reduction": words(OPERATOR),
    "ops.sequence": words(OPERATOR),
    "ops.normalization": words(OPERATOR),
    "ops.ordering": words(OPERATOR),
    "ops.output": words(OPERATOR),
    "ops.pooling": words(f"{OPERATOR} ops.convolution"),
    "ops.rearrangement": words(OPERATOR),
    "ops.optimizer": words(OPERATOR),
    "ops.optimizer_mixed": words(f"{OPERATOR} ops.optimizer"),
    "ops.nn": words(f"{OPERATOR} ops.elementwise ops.indexing"),
    "ops": words(
        "ops.activation ops.broadcasting ops.convolution ops.creation ops.elementwise "
        "ops.indexing ops.matrix ops.movement ops.nn ops.normalization ops.optimizer "
        "ops.optimizer_mixed ops.ordering ops.output ops.pooling "
        "ops.rearrangement ops.reduction ops.sequence"
    ),
    # graphs of nodes
    "graph": words("attribute op"),
    "infer": words("collector graph op schema"),
    "backward": words("attribute expr grad graph op"),
    "frontend": words("context op"),
    # from a graph to a plan, each step from those before
    "trace": words("expr graph infer"),
    "simplify": words("expr reference trace"),
    "layout": words("expr"),
    "regroup": words("expr layout simplify trace"),
    "matmul_tiles": words("gpus"),
    "products": words("expr gpus layout matmul_tiles simplify trace"),
    "schedule": words("expr layout"),
    "split": words("expr layout regroup simplify trace"),
    "refine": words("expr layout schedule"),
    "plan": words("expr gpus layout memory products reference refine regroup schedule split trace"),
    "plan_text": words("expr products schedule plan"),
    # from a plan to calls, or to the text of kernels
    "cuda_graph": words("reference"),
    "program": words("cuda_graph expr layout philox plan reference"),
    "instrument": words("expr plan plan_text program reference switches"),
    "cpu": words("expr instrument philox plan program reference schedule switches"),
    "triton_writer": words("expr layout philox"),
    "triton_pointwise": words("expr layout schedule triton_writer"),
    "triton_rows": words("expr layout schedule triton_writer"),
    "triton_matmul": words("expr layout matmul_tiles products schedule triton_writer"),
    "triton_source": words(
        "expr gpus layout matmul_tiles schedule triton_matmul triton_pointwise triton_rows "
        "triton_writer"
    ),
    "kernel_launch": words("progress reference"),
    "triton_runtime": words(
        "context cuda_graph gpus instrument kernel_launch module_cache philox plan program "
        "reference switches triton_source"
    ),
    "ahead_of_time": words(
        "gpus module_cache plan schedule triton_runtime triton_source triton_writer"
    ),
    "compiler": words(
        "allocation context cpu gpus graph infer op philox plan plan_text program reference "
        "simplify switches trace"
    ),
    "training_pass": words("backward compiler context graph op program reference"),
    "eager": words("context expr gpus philox plan reference switches trace"),
    # what a user holds
    "ndarray.params_file": words("allocation context files"),
    "ndarray.values": words("expr frontend reference"),
    "ndarray.indexing": words("reference ndarray.values"),
    "ndarray.core": words(
        "allocation attribute context eager expr frontend op ops.movement philox reference "
        "ndarray.indexing ndarray.params_file ndarray.values"
    ),
    "ndarray.create": words(
        "frontend allocation context reference ndarray.core ndarray.params_file ndarray.values"
    ),
    "ndarray": words("frontend op ops ndarray.core ndarray.create"),
    "random": words("context philox ndarray.core"),
    "symbol.json_file": words("attribute backward collector files graph op"),
    "symbol.inference": words("graph infer op"),
    "symbol.core": words(
        "attribute backward collector context files frontend graph name op symbol.inference "
        "symbol.json_file"
    ),
    "symbol.create": words("attribute frontend graph name symbol.core symbol.json_file"),
    "symbol": words("frontend op ops symbol.core symbol.create"),
    "node_by_node": words("compiler context eager graph philox reference trace"),
    "executor": words(
        "backward collector compiler context graph infer ndarray.core ndarray.create "
        "ndarray.values node_by_node op plan program training_pass"
    ),
    "debug": words("backward executor graph node_by_node"),
    "bind": words("context executor graph infer ndarray.core ndarray.create op"),
    # what trains a symbol; a plan knows nothing of it
    "training.registry": words(""),
    "training.lr_scheduler": words(""),
    "training.rnn_weights": words("ndarray.core"),
    "training.initializer": words(
        "random ndarray.core ndarray.create training.registry training.rnn_weights"
    ),
    "training.metric.base": words("ndarray.core training.registry"),
    "training.metric.classification": words("training.metric.base"),
    "training.metric.regression": words("training.metric.base"),
    "training.metric": words(
        "training.metric.base training.metric.classification training.metric.regression"
    ),
    "training.io.base": words("ndarray.core"),
    "training.io.arrays": words("ndarray.core ndarray.create training.io.base"),
    "training.io.from_files": words("ndarray.core ndarray.create training.io.base"),
    "training.io": words("training.io.arrays training.io.base training.io.from_files"),
    "training.optimizer.base": words(
        "eager expr ndarray.core ndarray.create ndarray.values ops.optimizer philox "
        "training.lr_scheduler training.registry"
    ),
    "training.optimizer.methods": words(
        "expr ndarray.core ops.common ops.optimizer training.optimizer.base"
    ),
    "training.optimizer.updater": words(
        "context ndarray.core ndarray.params_file training.lr_scheduler training.optimizer.base"
    ),
    "training.optimizer": words(
        "training.optimizer.base training.optimizer.methods training.optimizer.updater"
    ),
    "training.model": words("ndarray.core ndarray.create symbol.create"),
    "training.callback": words("training.model"),
    "training.kvstore": words(
        "files ndarray.core ndarray.values training.optimizer.base training.optimizer.updater"
    ),
    "training.monitor": words("executor ndarray.core"),
    "training.visualization": words("graph"),
    "training.module.base": words(
        "ndarray.core ndarray.create training.initializer training.io.base training.metric.base "
        "training.model"
    ),
    "training.module.module": words(
        "bind context executor files ndarray.core ndarray.create ndarray.values "
        "training.initializer training.io.base training.metric.base training.model "
        "training.module.base training.optimizer.base training.optimizer.updater"
    ),
    "training.module.bucketing": words(
        "context ndarray.core training.io.base training.metric.base training.model "
        "training.module.base training.module.module"
    ),
    "training.module": words(
        "training.module.base training.module.bucketing training.module.module"
    ),
    "training.rnn.base": words("ndarray.core ndarray.create symbol symbol.core"),
    "training.rnn.cells": words(
        "symbol symbol.core training.initializer training.rnn.base training.rnn_weights"
    ),
    "training.rnn.around": words("ndarray.core symbol symbol.core training.rnn.base"),
    "training.rnn.fused": words(
        "ndarray.core ndarray.create symbol training.initializer training.rnn_weights "
        "training.rnn.around training.rnn.base training.rnn.cells"
    ),
    "training.rnn.checkpoint": words("ndarray.core symbol.core training.model training.rnn.base"),
    "training.rnn.sentences": words("ndarray.create training.io.base"),
    "training.rnn": words(
        "training.rnn.around training.rnn.base training.rnn.cells training.rnn.checkpoint "
        "training.rnn.fused training.rnn.sentences"
    ),
    "training": words(
        "training.callback training.initializer training.io training.kvstore "
        "training.lr_scheduler training.metric training.model training.module training.monitor "
        "training.optimizer training.rnn training.visualization"
    ),
    # programs that use the package, and its front
    "plan_command": words("expr gpus graph infer op plan simplify switches symbol trace"),
    "test_utils": words("bind context executor ndarray.core ndarray.create symbol.core"),
    "": words(
        "attribute context debug executor name ndarray ops random switches symbol test_utils "
        "training "
        "training.callback training.initializer training.io training.kvstore "
        "training.lr_scheduler training.metric training.model training.module training.monitor "
        "training.optimizer training.rnn training.visualization"
    ),
    "tour": words("context ndarray symbol") | {""},
    "__main__": words("plan_command tour"),
}

# Imports within a function, which run when it is called: the ways up, and the ways to Triton.
LATE = {
    *(("symbol.core", function, "bind") for function in ("bind", "simple_bind", "eval")),
    ("plan", "__str__", "plan_text"),
    ("eager", "compute", "triton_runtime"),
    ("compiler", "_program", "triton_runtime"),
    ("plan_command", "main", "ahead_of_time"),
    ("plan_command", "main", "triton_source"),
}

# What may be imported of other people's. The rest describes graphs, plans and kernels as data.
OUTSIDE: dict[str, frozenset[str]] = {
