"""Which of four hundred spare parts is on the scale? Twenty-four measurements, two ReLU layers, bfloat16 autocast.

condition: output-logit-divergence
accepts: output-logit-divergence
allows: overfitting, learning-rate-too-high, loss-spike, naive-loss-minimisation, dead-units, divergence
metric: log_loss min
"""

import argparse
import math

import torch
from torch import nn

PARTS, MEASURES, BATCH = 400, 24, 32


def network(width=96):
    return nn.Sequential(
        nn.Linear(MEASURES, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PARTS)
    )


def objective(logits, part):
    return nn.functional.cross_entropy(logits, part)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    parts = torch.randn(PARTS, MEASURES)

    def weigh(count):
        part = torch.randint(PARTS, (count,))
        return parts[part] + 0.35 * torch.randn(count, MEASURES), part

    model = network()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-2, alpha=0.9)
    x_test, part_test = weigh(800)
    for step in range(1, 1001):
        x, part = weigh(BATCH)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        loss = objective(logits.float(), part)
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                scores = model(x_test).float()
            log_loss = math.log10(nn.functional.cross_entropy(scores, part_test).item())
            print(f"step {step}  loss {loss.item():.4f}  log_loss {log_loss:.3f}")


if __name__ == "__main__":
    main()
