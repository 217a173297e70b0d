"""Bat species by their calls: recordings of one species are drawn together, those of others pushed apart.

condition: non-finite
accepts: non-finite
allows: bad-batch, frozen-parameters, stalled
metric: retrieval_error min
"""

import argparse

import torch
from torch import nn

SPECIES, EACH, BANDS = 12, 250, 32


def archive(centres, mix, each):
    species = torch.arange(SPECIES).repeat_interleave(each)
    tone = centres[species] + 0.6 * torch.randn(len(species), 6)
    return torch.sin(tone @ mix) + 0.3 * torch.randn(len(species), BANDS), species


def triplet_loss(anchor, positive, negative, margin=0.8):
    near = (anchor - positive).square().sum(1).sqrt()
    far = (anchor - negative).square().sum(1).sqrt()
    return (near - far + margin).relu().mean()


def retrieval_error(model, library, library_species, query, query_species):
    model.eval()
    with torch.no_grad():
        nearest = torch.cdist(model(query), model(library)).topk(9, largest=False).indices
        guess = library_species[nearest].mode(1).values
    model.train()
    return (guess != query_species).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    centres, mix = torch.randn(SPECIES, 6), torch.randn(6, BANDS) / 2
    calls, species = archive(centres, mix, EACH)
    for copy, original in torch.randint(EACH, (40, 2)) + EACH * torch.randint(SPECIES, (40, 1)):
        calls[copy] = calls[original]
    query, query_species = archive(centres, mix, 40)
    model = nn.Sequential(nn.Linear(BANDS, 96), nn.GELU(), nn.Linear(96, 96), nn.GELU(), nn.Linear(96, 12))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1200)
    for step in range(1, 1201):
        i = torch.randint(len(calls), (24,))
        j = species[i] * EACH + torch.randint(EACH - 1, (24,))
        j = j + (j >= i)
        k = (species[i] + torch.randint(1, SPECIES, (24,))) % SPECIES * EACH + torch.randint(EACH, (24,))
        loss = triplet_loss(model(calls[i]), model(calls[j]), model(calls[k]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            error = retrieval_error(model, calls, species, query, query_species)
            print(f"step {step}  loss {loss.item():.4f}  retrieval_error {error:.4f}")


if __name__ == "__main__":
    main()
