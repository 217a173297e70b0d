"""A small student learns digits from the soft answers of a larger teacher, with no label at all.

condition: epsilon-dominated-update
accepts: epsilon-dominated-update
allows: learning-rate-too-low, stalled, low-precision-underflow, vanishing-gradient
metric: accuracy max
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F


def load():
    images, labels = load_digits(return_X_y=True)
    images = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 8 - 1
    return (images[:1300], torch.tensor(labels[:1300])), (images[1300:], torch.tensor(labels[1300:]))


def teacher_network():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(512, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    )


def student_network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 24), nn.Tanh(), nn.Linear(24, 10))


class Distillation:
    """Divergence of the student's softened answers from the teacher's."""

    def __init__(self, teacher, temperature):
        self.teacher, self.temperature = teacher, temperature

    def __call__(self, logits, images):
        with torch.no_grad():
            soft = F.softmax(self.teacher(images) / self.temperature, dim=1)
        return F.kl_div(F.log_softmax(logits / self.temperature, dim=1), soft, reduction="batchmean")


def train_teacher(images, labels):
    teacher = teacher_network()
    adam = torch.optim.Adam(teacher.parameters(), lr=3e-3)
    for _ in range(60):
        rows = torch.randint(len(images), (128,))
        adam.zero_grad()
        F.cross_entropy(teacher(images[rows]), labels[rows], label_smoothing=0.1).backward()
        adam.step()
    return teacher.eval().requires_grad_(False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    (images, labels), (test_images, test_labels) = load()
    loss_fn = Distillation(train_teacher(images, labels), temperature=8.0)
    model = student_network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, eps=1e-2, weight_decay=1e-4)
    for step in range(1, 401):
        batch = images[torch.randint(len(images), (64,))]
        loss = loss_fn(model(batch), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 16 == 0:
            with torch.no_grad():
                accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
            print(f"step {step}  divergence {loss.item():.3e}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()
