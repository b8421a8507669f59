"""Pure maths on arrays of matrix neurons: no modules, no state."""

from matrinox.functional.activation import elu, gelu, identity, leaky_relu, relu, sigmoid, silu, softmax, softplus, tanh
from matrinox.functional.adaptive_pool import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from matrinox.functional.attention import (
    apply_attention_weights,
    dot_product_attention_logits,
    frobenius_score,
    matrix_attention,
    scaled_frobenius_score,
)
from matrinox.functional.bilinear import bilinear_dense
from matrinox.functional.congruence import bimap
from matrinox.functional.constrain import (
    antisymmetrize,
    bound_spectral_norm,
    orthogonalize,
    symmetrize,
    triangularize,
)
from matrinox.functional.conv import matrix_conv1d, matrix_conv2d, matrix_conv3d
from matrinox.functional.conv_transpose import (
    matrix_conv_transpose1d,
    matrix_conv_transpose2d,
    matrix_conv_transpose3d,
)
from matrinox.functional.dense import adjoint, dense
from matrinox.functional.determinant import det, det_root
from matrinox.functional.determinant_activation import (
    elu_powered,
    elud,
    leaky_relud,
    relud,
    sigmoidd,
    softplusd,
    sss,
    sst,
    tanhd,
)
from matrinox.functional.determinant_pool import (
    avgd_pool1d,
    avgd_pool2d,
    avgd_pool3d,
    maxd_pool1d,
    maxd_pool2d,
    maxd_pool3d,
)
from matrinox.functional.dropout import dropout
from matrinox.functional.eigenvalue import logeig, reeig
from matrinox.functional.embedding import embedding, unembed
from matrinox.functional.encode import embed_pixels, embed_sequence, fold, fold_frames, patches, tile
from matrinox.functional.equivariant import conjugation_bilinear, conjugation_dense
from matrinox.functional.gate import invariant_gate
from matrinox.functional.global_pool import (
    global_avg_pool1d,
    global_avg_pool2d,
    global_avg_pool3d,
    global_max_pool1d,
    global_max_pool2d,
    global_max_pool3d,
    global_sum_pool1d,
    global_sum_pool2d,
    global_sum_pool3d,
)
from matrinox.functional.invariant import characteristic_polynomial, determinant_ratios, trace_powers
from matrinox.functional.loss import binary_cross_entropy, cross_entropy, huber, kl_divergence, mae, mse
from matrinox.functional.matrix_norm import frobenius_normalize, spectral_norm, spectral_normalize
from matrinox.functional.metric import accuracy, bits_per_character, confusion_matrix, perplexity, r2, top_k_accuracy
from matrinox.functional.multihead import multihead_attention
from matrinox.functional.norm import group_norm, instance_norm, layer_norm, rms_norm, z_norm
from matrinox.functional.pool import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    sum_pool1d,
    sum_pool2d,
    sum_pool3d,
)
from matrinox.functional.position import rotary, sinusoidal_positions
from matrinox.functional.readout import (
    flatten,
    flatten_batch,
    flatten_linear,
    flatten_space,
    frobenius_norm,
    matrix_mean,
    matrix_trace,
    reduce_sum,
)
from matrinox.functional.recurrent import gru_step, lstm_step, rnn_step
from matrinox.functional.reduction_pool import Reduction, pool1d, pool2d, pool3d
from matrinox.functional.sampling import keep_top_k, keep_top_p, sample_tokens
from matrinox.functional.scan import diagonal_scan, matrix_scan
from matrinox.functional.similarity import cosine_distance, cosine_similarities, info_nce
from matrinox.functional.snap import snap, snapping_scan, squared_distances
from matrinox.functional.ssm import selective_scan, selective_step
from matrinox.functional.window import down2

__all__ = [
    "Reduction",
    "accuracy",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "adjoint",
    "antisymmetrize",
    "apply_attention_weights",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "avgd_pool1d",
    "avgd_pool2d",
    "avgd_pool3d",
    "bilinear_dense",
    "bimap",
    "binary_cross_entropy",
    "bits_per_character",
    "bound_spectral_norm",
    "characteristic_polynomial",
    "confusion_matrix",
    "conjugation_bilinear",
    "conjugation_dense",
    "cosine_distance",
    "cosine_similarities",
    "cross_entropy",
    "dense",
    "det",
    "det_root",
    "determinant_ratios",
    "diagonal_scan",
    "dot_product_attention_logits",
    "down2",
    "dropout",
    "elu",
    "elu_powered",
    "elud",
    "embed_pixels",
    "embed_sequence",
    "embedding",
    "flatten",
    "flatten_batch",
    "flatten_linear",
    "flatten_space",
    "fold",
    "fold_frames",
    "frobenius_norm",
    "frobenius_normalize",
    "frobenius_score",
    "gelu",
    "global_avg_pool1d",
    "global_avg_pool2d",
    "global_avg_pool3d",
    "global_max_pool1d",
    "global_max_pool2d",
    "global_max_pool3d",
    "global_sum_pool1d",
    "global_sum_pool2d",
    "global_sum_pool3d",
    "group_norm",
    "gru_step",
    "huber",
    "identity",
    "info_nce",
    "instance_norm",
    "invariant_gate",
    "keep_top_k",
    "keep_top_p",
    "kl_divergence",
    "layer_norm",
    "leaky_relu",
    "leaky_relud",
    "logeig",
    "lstm_step",
    "mae",
    "matrix_attention",
    "matrix_conv1d",
    "matrix_conv2d",
    "matrix_conv3d",
    "matrix_conv_transpose1d",
    "matrix_conv_transpose2d",
    "matrix_conv_transpose3d",
    "matrix_mean",
    "matrix_scan",
    "matrix_trace",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "maxd_pool1d",
    "maxd_pool2d",
    "maxd_pool3d",
    "mse",
    "multihead_attention",
    "orthogonalize",
    "patches",
    "perplexity",
    "pool1d",
    "pool2d",
    "pool3d",
    "r2",
    "reduce_sum",
    "reeig",
    "relu",
    "relud",
    "rms_norm",
    "rnn_step",
    "rotary",
    "sample_tokens",
    "scaled_frobenius_score",
    "selective_scan",
    "selective_step",
    "sigmoid",
    "sigmoidd",
    "silu",
    "sinusoidal_positions",
    "snap",
    "snapping_scan",
    "softmax",
    "softplus",
    "softplusd",
    "spectral_norm",
    "spectral_normalize",
    "squared_distances",
    "sss",
    "sst",
    "sum_pool1d",
    "sum_pool2d",
    "sum_pool3d",
    "symmetrize",
    "tanh",
    "tanhd",
    "tile",
    "top_k_accuracy",
    "trace_powers",
    "triangularize",
    "unembed",
    "z_norm",
]
