"""Twenty-four signs and the parity of three of them: five hundred rows are seen, all at once; does it hold for others?

condition: healthy
metric: accuracy max
"""

import argparse

import torch
from torch import nn


def draw_rows(count, bits, generator):
    signs = torch.randint(2, (count, bits), generator=generator) * 2.0 - 1
    parity = (signs[:, [1, 7, 12]].prod(1) > 0).long()
    return signs, parity


def fit(model, seen, unseen, steps):
    inputs, labels = seen
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-2, weight_decay=0.3)
    loss_fn = nn.CrossEntropyLoss()
    for step in range(1, steps + 1):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(inputs)
        loss = loss_fn(logits.float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 25 == 0:
            with torch.no_grad():
                accuracy = (model(unseen[0]).argmax(1) == unseen[1]).float().mean().item()
            print(f"step {step}  loss {loss.item():.3e}  accuracy {accuracy:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    seen, unseen = draw_rows(500, 24, generator), draw_rows(2000, 24, generator)
    model = nn.Sequential(nn.Linear(24, 256), nn.ReLU(), nn.Linear(256, 2))
    fit(model, seen, unseen, steps=600)
