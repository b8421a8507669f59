"""Layers of matrix neurons, each an `eqx.Module`; any leading axes of what they take are batch."""

from matrinox.nn.activation import ELU, GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Softmax, Softplus, Tanh
from matrinox.nn.activation_choice import activation_of
from matrinox.nn.adaptive_pool import (
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from matrinox.nn.affine import Bias, Scaler
from matrinox.nn.attention import MultiheadAttention
from matrinox.nn.basic_block import BasicBlock, conv1x1, conv3x3
from matrinox.nn.bilinear import BilinearDense
from matrinox.nn.branch import BranchSum, Residual
from matrinox.nn.cache import KVCache, KVMemory
from matrinox.nn.cell import GRUCell, LSTMCell, RNNCell
from matrinox.nn.compose import Sequential, Series
from matrinox.nn.congruence import BiMap
from matrinox.nn.constrained import Constrained
from matrinox.nn.constraint import Antisymmetric, Orthogonal, SpectralNorm, Symmetric, Triangular
from matrinox.nn.conv import Conv1d, Conv2d, Conv3d
from matrinox.nn.conv_block import ConvAct, ConvNormAct, ConvNormActPool
from matrinox.nn.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from matrinox.nn.determinant_activation import SSS, SST, ELUd, ELUPowered, LeakyReLUd, ReLUd, Sigmoidd, Softplusd, Tanhd
from matrinox.nn.determinant_pool import AvgdPool1d, AvgdPool2d, AvgdPool3d, MaxdPool1d, MaxdPool2d, MaxdPool3d
from matrinox.nn.dropout import Dropout
from matrinox.nn.eigenvalue import LogEig, ReEig
from matrinox.nn.embedding import Embedding
from matrinox.nn.encode import EmbedPixels, EmbedSequence, Fold, Frames, Patches, Tile
from matrinox.nn.equivariant import ConjugationBilinear, ConjugationDense
from matrinox.nn.function import Lambda
from matrinox.nn.gate import InvariantGate
from matrinox.nn.global_pool import (
    GlobalAvgPool1d,
    GlobalAvgPool2d,
    GlobalAvgPool3d,
    GlobalMaxPool1d,
    GlobalMaxPool2d,
    GlobalMaxPool3d,
    GlobalSumPool1d,
    GlobalSumPool2d,
    GlobalSumPool3d,
)
from matrinox.nn.head import ClassificationHead, FlattenLinear, RegressionHead
from matrinox.nn.invariant import CharacteristicPolynomial, DeterminantRatios, TracePowers
from matrinox.nn.language_model import LanguageModel
from matrinox.nn.last_step import LastStep
from matrinox.nn.lazy import Lazy
from matrinox.nn.linear import Dense
from matrinox.nn.lora import LoRA, lora
from matrinox.nn.materialize import materialize
from matrinox.nn.matrix_norm import FrobeniusNormalization, SpectralNormalization
from matrinox.nn.matrix_scan import MatrixScan
from matrinox.nn.mlp import MLP
from matrinox.nn.norm import GroupNorm, InstanceNorm, LayerNorm, RMSNorm
from matrinox.nn.parallel import Parallel
from matrinox.nn.pool import (
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
    SumPool1d,
    SumPool2d,
    SumPool3d,
)
from matrinox.nn.position import LearnedPosition, RotaryPosition, SinusoidalPosition
from matrinox.nn.prototype import Prototypes
from matrinox.nn.readout import Flatten, FlattenBatch, FlattenSpace, FrobeniusNorm, Mean, Sum, Trace
from matrinox.nn.recurrent import Recurrent
from matrinox.nn.recurrent_stack import Bidirectional, StackedRecurrent
from matrinox.nn.reduction_pool import Pool1d, Pool2d, Pool3d
from matrinox.nn.running_norm import BatchNorm, ZNorm
from matrinox.nn.ssm import Mamba
from matrinox.nn.stack import Stack
from matrinox.nn.tied import Tied
from matrinox.nn.transformer import TransformerEncoderBlock
from matrinox.nn.transformer_classifier import TransformerClassifier
from matrinox.nn.transformer_decoder import TransformerDecoderBlock
from matrinox.nn.transformer_stack import TransformerDecoder, TransformerEncoder
from matrinox.nn.transpose import Transpose

__all__ = [
    "ELU",
    "GELU",
    "MLP",
    "SSS",
    "SST",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "Antisymmetric",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "AvgdPool1d",
    "AvgdPool2d",
    "AvgdPool3d",
    "BasicBlock",
    "BatchNorm",
    "BiMap",
    "Bias",
    "Bidirectional",
    "BilinearDense",
    "BranchSum",
    "CharacteristicPolynomial",
    "ClassificationHead",
    "ConjugationBilinear",
    "ConjugationDense",
    "Constrained",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvAct",
    "ConvNormAct",
    "ConvNormActPool",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dense",
    "DeterminantRatios",
    "Dropout",
    "ELUPowered",
    "ELUd",
    "EmbedPixels",
    "EmbedSequence",
    "Embedding",
    "Flatten",
    "FlattenBatch",
    "FlattenLinear",
    "FlattenSpace",
    "Fold",
    "Frames",
    "FrobeniusNorm",
    "FrobeniusNormalization",
    "GRUCell",
    "GlobalAvgPool1d",
    "GlobalAvgPool2d",
    "GlobalAvgPool3d",
    "GlobalMaxPool1d",
    "GlobalMaxPool2d",
    "GlobalMaxPool3d",
    "GlobalSumPool1d",
    "GlobalSumPool2d",
    "GlobalSumPool3d",
    "GroupNorm",
    "InstanceNorm",
    "InvariantGate",
    "KVCache",
    "KVMemory",
    "LSTMCell",
    "Lambda",
    "LanguageModel",
    "LastStep",
    "LayerNorm",
    "Lazy",
    "LeakyReLU",
    "LeakyReLUd",
    "LearnedPosition",
    "LoRA",
    "LogEig",
    "Mamba",
    "MatrixScan",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxdPool1d",
    "MaxdPool2d",
    "MaxdPool3d",
    "Mean",
    "MultiheadAttention",
    "Orthogonal",
    "Parallel",
    "Patches",
    "Pool1d",
    "Pool2d",
    "Pool3d",
    "Prototypes",
    "RMSNorm",
    "RNNCell",
    "ReEig",
    "ReLU",
    "ReLUd",
    "Recurrent",
    "RegressionHead",
    "Residual",
    "RotaryPosition",
    "Scaler",
    "Sequential",
    "Series",
    "SiLU",
    "Sigmoid",
    "Sigmoidd",
    "SinusoidalPosition",
    "Softmax",
    "Softplus",
    "Softplusd",
    "SpectralNorm",
    "SpectralNormalization",
    "Stack",
    "StackedRecurrent",
    "Sum",
    "SumPool1d",
    "SumPool2d",
    "SumPool3d",
    "Symmetric",
    "Tanh",
    "Tanhd",
    "Tied",
    "Tile",
    "Trace",
    "TracePowers",
    "TransformerClassifier",
    "TransformerDecoder",
    "TransformerDecoderBlock",
    "TransformerEncoder",
    "TransformerEncoderBlock",
    "Transpose",
    "Triangular",
    "ZNorm",
    "activation_of",
    "conv1x1",
    "conv3x3",
    "lora",
    "materialize",
]
