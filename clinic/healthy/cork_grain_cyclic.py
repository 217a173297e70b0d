"""Grades of cork from the grain of its cut, with a cyclic rate; the weights at the end of each cycle are averaged.

condition: healthy
metric: val_loss min
"""

import argparse

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, update_bn

SIZE, GRADES = 14, 5


def cuts(count, generator):
    grade = torch.randint(GRADES, (count,), generator=generator)
    image = 0.6 * torch.randn(count, SIZE, SIZE, generator=generator)
    yy, xx = torch.meshgrid(torch.arange(SIZE).float(), torch.arange(SIZE).float(), indexing="ij")
    for i in range(GRADES):
        centre = torch.rand(count, 2, 1, 1, generator=generator) * SIZE
        radius = 0.8 + 1.2 * torch.rand(count, 1, 1, generator=generator)
        pore = torch.exp(-((yy - centre[:, 0]) ** 2 + 2 * (xx - centre[:, 1]) ** 2) / radius**2)
        image = image - 2.2 * pore * (grade >= i)[:, None, None]
    wrong = torch.rand(count, generator=generator) < 0.05
    shown = torch.where(wrong, (grade + 1) % GRADES, grade)
    return image[:, None], shown


def cork_net(width=12):
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, padding=1, stride=2, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False),
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * 49, GRADES),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    x_val, y_val = cuts(1000, generator)
    model = cork_net()
    averaged = AveragedModel(model)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.CyclicLR(
        optimizer, base_lr=0.001, max_lr=0.03, step_size_up=10, step_size_down=50, mode="exp_range", gamma=0.998
    )
    for step in range(1, 481):
        model.train()
        x, y = cuts(40, generator)
        loss = loss_fn(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if step > 240 and step % 60 == 0:
            averaged.update_parameters(model)
        if step % 24 == 0:
            model.eval()
            with torch.no_grad():
                val = loss_fn(model(x_val), y_val).item()
            print(f"step {step}  loss {loss.item():.4f}  val_loss {val:.4f}")
    update_bn((cuts(40, generator)[0] for _ in range(20)), averaged)
    averaged.eval()
    with torch.no_grad():
        print(f"averaged weights: {loss_fn(averaged(x_val), y_val).item():.4f}")


if __name__ == "__main__":
    main()
