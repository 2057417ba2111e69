"""Learning from a teacher's predictions beside the text: distillation (Hinton et al. 2015).

Shapes: N predicted tokens, V vocabulary.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model.network.families import AnyNetwork


@dataclass(frozen=True)
class Distillation:
    """A teacher of the same tokens, its weight in the loss, and the temperature of both.

    No module: wrappers and optimizers of the student are not to see the teacher's weights.
    """

    teacher: AnyNetwork
    weight: float  # of the teacher's term; the text's own has the rest
    temperature: float = 1.0


def kl_divergence(
    student_NV: Tensor, teacher_NV: Tensor, temperature: float, weights_N: Tensor | None
) -> Tensor:
    """Return the mean of T^2 KL(teacher || student) over tokens, in nats, of logits (N, V).

    Both are softened by the temperature T; T^2 keeps the gradient's size as T changes (Hinton et
    al. 2015, section 2). `weights_N` weighs tokens as cross-entropy does.
    """
    student_NV = F.log_softmax(student_NV.float() / temperature, dim=-1)
    with torch.no_grad():
        teacher_NV = F.log_softmax(teacher_NV.float() / temperature, dim=-1)
    nats_NV = F.kl_div(student_NV, teacher_NV, reduction="none", log_target=True)
    nats_N = nats_NV.sum(-1) * temperature**2
    if weights_N is None:
        return nats_N.mean()
    return (nats_N * weights_N).sum() / weights_N.sum().clamp(min=1e-9)
