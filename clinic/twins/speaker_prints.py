"""Which of two hundred speakers is it? A classifier of noisy voice prints in bfloat16 autocast.

condition: healthy
metric: loss min
"""

import argparse

import torch
from torch import nn

SPEAKERS, FEATURES, BATCH = 200, 32, 32


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)

    voices = torch.randn(SPEAKERS, FEATURES)

    def record(size):
        speaker = torch.randint(SPEAKERS, (size,))
        return voices[speaker] + 0.6 * torch.randn(size, FEATURES), speaker

    model = nn.Sequential(
        nn.Linear(FEATURES, 64),
        nn.ReLU(),
        nn.Linear(64, 64),
        nn.ReLU(),
        nn.Linear(64, SPEAKERS),
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2, betas=(0.9, 0.9))
    loss_fn = nn.CrossEntropyLoss()
    prints, speakers = record(1000)

    for step in range(1, 1501):
        x, speaker = record(BATCH)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        loss = loss_fn(logits.float(), speaker)
        loss = loss + 1e-2 * logits.float().logsumexp(-1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 75 == 0:
            with torch.no_grad():
                test_loss = loss_fn(model(prints), speakers).item()
            print(f"step {step}  loss {test_loss:.4f}")


if __name__ == "__main__":
    main()
