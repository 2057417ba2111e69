"""The teacher's term: its value and gradient against the definition, written out here."""

from dataclasses import replace

import pytest
import torch

from model.network.architecture import ModelConfig
from model.network.batch import Batch
from model.network.distillation import Distillation, kl_divergence
from model.network.families import build
from model.network.objectives import Objective

TINY = ModelConfig(layers=1, width=16, heads=2, kv_heads=2, hidden=32, context=12)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_are_those_of_the_definition(temperature, weighted):
    generator = torch.Generator().manual_seed(3)
    student = torch.randn(7, 11, generator=generator, dtype=torch.float64).float()
    teacher = torch.randn(7, 11, generator=generator)
    weights = torch.tensor([1.0, 0, 2, 1, 0.5, 1, 0]) if weighted else None
    student.requires_grad_(True)
    found = kl_divergence(student, teacher, temperature, weights)
    found.backward()

    p = (teacher.double() / temperature).softmax(-1)
    q = (student.detach().double() / temperature).softmax(-1)
    share = (torch.ones(7) if weights is None else weights).double()
    share = share / share.sum()
    wanted = (share * (p * (p.log() - q.log())).sum(-1)).sum() * temperature**2
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-7)
    # d/dz of T^2 KL(p || softmax(z / T)) is T (q - p)
    gradient = share[:, None] * (q - p) * temperature
    assert student.grad is not None
    torch.testing.assert_close(student.grad.double(), gradient, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("family", ["decoder", "encoder", "encoder_decoder"])
def test_the_objective_mixes_text_and_teacher_and_trains_the_student_alone(family):
    config = replace(TINY, family=family)
    torch.manual_seed(0)
    network, teacher = build(config, 50), build(config, 50).eval()
    batch = Batch(torch.randint(10, 50, (3, 13), generator=torch.Generator().manual_seed(1)))
    losses = {}
    for weight in (0.0, 0.3, 1.0):
        objective = Objective(network, distillation=Distillation(teacher, weight)).train()
        losses[weight], total = objective(batch, 5)
    mixed = 0.7 * losses[0.0].item() + 0.3 * losses[1.0].item()
    assert losses[0.3].item() == pytest.approx(mixed, rel=1e-5)
    plain, plain_total = Objective(network).train()(batch, 5)
    assert (losses[0.0].item(), total) == (pytest.approx(plain.item(), rel=1e-5), plain_total)
    losses[0.3].backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert any(weight.grad is not None for weight in network.parameters())
    own = {id(weight) for weight in network.parameters()}
    assert {id(weight) for weight in objective.parameters()} == own


def test_a_teacher_equal_to_the_student_asks_for_nothing():
    torch.manual_seed(0)
    network = build(TINY, 50)
    batch = Batch(torch.randint(10, 50, (3, 13)))
    objective = Objective(network, distillation=Distillation(network, 1.0)).train()
    assert objective(batch, 0)[0].item() == pytest.approx(0.0, abs=1e-6)
    evaluated, _ = objective.eval()(batch, 0)
    assert evaluated.item() == pytest.approx(Objective(network).eval()(batch, 0)[0].item())
