"""Training loops of every kind that real scripts have, each as a user would write it; they know nothing of surefoot.

Run as a script, it trains each kind bare, bare again and watched, and prints what came out as JSON:

    python tests/loop_kinds.py [kind ...]
"""

from __future__ import annotations

import copy
import json
import multiprocessing
import random
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from loops import Trained
from watching import watching

STEPS = 9
FORK = multiprocessing.get_context("fork")
Build = Callable[[], Trained]


def mlp(width: int = 32) -> nn.Sequential:
    return nn.Sequential(nn.Linear(20, width), nn.ReLU(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 5))


def batch(rows: int = 16) -> tuple[Tensor, Tensor]:
    x = torch.randn(rows, 20)
    return x, x[:, :5].argmax(1)


def ended(losses: list[float], *modules: nn.Module) -> Trained:
    return Trained(
        losses,
        [p.detach().clone() for m in modules for p in m.parameters()],
        [b.detach().clone() for m in modules for b in m.buffers()],
        (torch.get_rng_state(), random.getstate(), np.random.get_state()[1:]),
    )


def plain_loop(model: nn.Module, optimizer: Any, steps: int = STEPS, scheduler: Any = None) -> list[float]:
    losses = []
    for _ in range(steps):
        x, y = batch()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        losses.append(loss.item())
    return losses


def gan() -> Trained:
    netG, netD = (
        nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)),
        nn.Sequential(nn.Linear(2, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)),
    )
    optG, optD = torch.optim.Adam(netG.parameters(), 2e-4), torch.optim.RMSprop(netD.parameters(), 2e-4)
    losses = []
    for _ in range(STEPS):
        real, z = torch.randn(16, 2) + 2, torch.randn(16, 4)
        optD.zero_grad()
        fake = netG(z)
        loss_real = F.binary_cross_entropy_with_logits(netD(real), torch.ones(16, 1))
        loss_real.backward()
        loss_fake = F.binary_cross_entropy_with_logits(netD(fake.detach()), torch.zeros(16, 1))
        loss_fake.backward()
        optD.step()
        optG.zero_grad()
        loss = F.binary_cross_entropy_with_logits(netD(fake), torch.ones(16, 1))
        loss.backward()
        optG.step()
        losses += [loss.item(), (loss_real + loss_fake).item()]
    return ended(losses, netG, netD)


def accumulation() -> Trained:
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        total = 0.0
        for _ in range(3):
            x, y = batch(8)
            loss = F.cross_entropy(model(x), y) / 3
            loss.backward()
            total += loss.item()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return ended(losses, model)


def scaler() -> Trained:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scale = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=4)
    losses = []
    for step in range(STEPS):
        x, y = batch()
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(x), y)
        scale.scale(loss).backward()
        if step == 5:
            model[0].weight.grad[0, 0] = float("inf")  # as an overflow would
        scale.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scale.step(optimizer)
        scale.update()
        losses.append(loss.item())
    return ended(losses, model)


def lbfgs(line_search: str | None = None) -> Trained:
    model = nn.Sequential(nn.Linear(20, 8), nn.Tanh(), nn.Linear(8, 1))
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.5, max_iter=5, line_search_fn=line_search)
    x = torch.randn(64, 20)
    y = x[:, :3].sum(1, keepdim=True).sin()
    losses = []
    for _ in range(STEPS):

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss

        losses.append(optimizer.step(closure).item())
    return ended(losses, model)


def adam_closure() -> Trained:
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        x, y = batch()

        def closure(x: Tensor = x, y: Tensor = y) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            return loss

        losses.append(optimizer.step(closure=closure).item())
    return ended(losses, model)


def compiled(backend: str = "aot_eager") -> Trained:
    torch._dynamo.reset()
    model = mlp()
    fast = torch.compile(model, backend=backend)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    return ended(plain_loop(fast, optimizer), model)


class Halves(nn.Module):
    """An eager embedding and head around a trunk that may be compiled."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.stem, self.trunk, self.head = nn.Linear(20, 32), trunk, nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(F.relu(self.stem(x))))


class Trunk(nn.Sequential):
    """A class of its own: to compile one of PyTorch's in place compiles nothing."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(32, 32), nn.GELU(), nn.Linear(32, 32), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x


def compiled_in_place(part: str = "") -> Trained:
    torch._dynamo.reset()
    model = Halves(Trunk())
    model.get_submodule(part).compile(backend="aot_eager")
    return ended(plain_loop(model, torch.optim.AdamW(model.parameters(), 1e-3)), model)


def compiled_parts() -> Trained:
    torch._dynamo.reset()
    model = Halves(torch.compile(Trunk(), backend="aot_eager"))  # type: ignore[arg-type]
    return ended(plain_loop(model, torch.optim.AdamW(model.parameters(), 1e-3)), model)


def compiled_function() -> Trained:
    torch._dynamo.reset()
    model = mlp()
    loss_of = torch.compile(lambda x, y: F.cross_entropy(model(x), y), backend="aot_eager")
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = loss_of(*batch())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return ended(losses, model)


def compiled_step() -> Trained:
    torch._dynamo.reset()
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    step = torch.compile(optimizer.step, backend="aot_eager")
    losses = []
    for _ in range(STEPS):
        x, y = batch()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        step()
        losses.append(loss.item())
    return ended(losses, model)


def compiled_whole_step() -> Trained:
    torch._dynamo.reset()
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)

    @torch.compile(backend="aot_eager")
    def train(x: Tensor, y: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return ended([train(*batch()).item() for _ in range(STEPS)], model)


class Checkpointed(nn.Module):
    def __init__(self, use_reentrant: bool) -> None:
        super().__init__()
        self.stem, self.head = nn.Linear(20, 32), nn.Linear(32, 5)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 32)) for _ in range(3)
        )
        self.use_reentrant = use_reentrant

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + checkpoint(block, x, use_reentrant=self.use_reentrant)
        return self.head(x)


def checkpointed(use_reentrant: bool) -> Trained:
    model = Checkpointed(use_reentrant)
    return ended(plain_loop(model, torch.optim.AdamW(model.parameters(), 1e-3)), model)


def in_backward() -> Trained:
    model = mlp()
    optimizers = {p: torch.optim.Adam([p], 1e-3) for p in model.parameters()}

    def hook(parameter: Tensor) -> None:
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for p in model.parameters():
        p.register_post_accumulate_grad_hook(hook)
    losses = []
    for _ in range(STEPS):
        x, y = batch()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        losses.append(loss.item())
    return ended(losses, model)


def sparse() -> Trained:
    table, head = nn.Embedding(50, 16, sparse=True), nn.Linear(16, 5)
    optimizers = torch.optim.SparseAdam(table.parameters(), 1e-2), torch.optim.Adam(head.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        tokens = torch.randint(50, (16, 4))
        loss = F.cross_entropy(head(table(tokens).mean(1)), tokens[:, 0] % 5)
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.item())
    return ended(losses, table, head)


def scheduled() -> Trained:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=STEPS + 1)
    return ended(plain_loop(model, optimizer, scheduler=scheduler), model)


def group_added_later() -> Trained:
    trunk, head = nn.Sequential(nn.Linear(20, 32), nn.ReLU()), nn.Linear(32, 5)
    optimizer = torch.optim.AdamW(head.parameters(), 1e-3)
    model = nn.Sequential(trunk, head)
    trunk.requires_grad_(False)
    losses = plain_loop(model, optimizer, STEPS // 2)
    trunk.requires_grad_(True)
    optimizer.add_param_group({"params": trunk.parameters(), "lr": 1e-4})
    return ended(losses + plain_loop(model, optimizer, STEPS - STEPS // 2), model)


def averaged() -> Trained:
    model = mlp()
    shadow = copy.deepcopy(model).requires_grad_(False)
    ema = torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9))
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        losses += plain_loop(model, optimizer, 1)
        ema.update_parameters(model)
        with torch.no_grad():
            for a, b in zip(shadow.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 0.1)
    return ended(losses, model, ema, shadow)


def frozen() -> Trained:
    model = Halves(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)))
    model.trunk.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    return ended(plain_loop(model, optimizer), model)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(11, 16), nn.Linear(16, 16), nn.Linear(16, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.mix(self.embed(x)).relu())


def tied() -> Trained:
    model = Tied()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for _ in range(STEPS):
        x = torch.randint(11, (8, 6))
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x).flatten(0, 1), x.roll(1, 1).flatten())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return ended(losses, model)


def in_thread() -> Trained:
    found: list[Trained] = []

    def train() -> None:
        model = mlp()
        found.append(ended(plain_loop(model, torch.optim.AdamW(model.parameters(), 1e-3)), model))

    worker = threading.Thread(target=train)
    worker.start()
    worker.join()
    return found[0]


def kernels(**options: bool) -> Trained:
    model = mlp()
    return ended(plain_loop(model, torch.optim.AdamW(model.parameters(), 1e-3, **options)), model)


def fused_and_scaled() -> Trained:
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    scale = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    losses = []
    for _ in range(STEPS):
        x, y = batch()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        scale.scale(loss).backward()
        scale.step(optimizer)
        scale.update()
        losses.append(loss.item())
    return ended(losses, model)


def folds() -> Trained:
    losses: list[float] = []
    models = []
    for _ in range(3):
        models.append(mlp())
        losses += plain_loop(models[-1], torch.optim.AdamW(models[-1].parameters(), 1e-3), STEPS // 3)
    return ended(losses, *models)


def loader() -> Trained:
    x, y = batch(8 * STEPS)
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    losses = []
    for inputs, labels in DataLoader(TensorDataset(x, y), 8, shuffle=True, num_workers=2):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return ended(losses, model)


def accelerated(fold: int = 1) -> Trained:
    import accelerate
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=fold)
    x, y = batch(8 * fold * STEPS)
    model = mlp()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer)
    model, optimizer, data, scheduler = accelerator.prepare(
        model, optimizer, DataLoader(TensorDataset(x, y), 8), scheduler
    )
    losses = []
    for inputs, labels in data:
        with accelerator.accumulate(model):
            loss = F.cross_entropy(model(inputs), labels)
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        losses.append(loss.item())
    return ended(losses, accelerator.unwrap_model(model))


# Each kind, and how many steps of the run's own count it takes.
KINDS: dict[str, tuple[Build, int]] = {
    "gan": (gan, STEPS),
    "accumulation": (accumulation, STEPS),
    "scaler": (scaler, STEPS - 1),  # one is skipped
    "lbfgs": (lbfgs, STEPS),
    "lbfgs strong wolfe": (lambda: lbfgs("strong_wolfe"), STEPS),
    "adam closure": (adam_closure, STEPS),
    "compiled": (compiled, STEPS),
    "compiled in place": (compiled_in_place, STEPS),
    "compiled in place in parts": (lambda: compiled_in_place("trunk"), STEPS),
    "compiled parts": (compiled_parts, STEPS),
    "compiled function": (compiled_function, STEPS),
    # nobody tells of these: the next backward does, and after the last step there is none
    "compiled step": (compiled_step, STEPS - 1),
    "compiled whole step": (compiled_whole_step, STEPS - 1),
    "checkpoint": (lambda: checkpointed(False), STEPS),
    "checkpoint reentrant": (lambda: checkpointed(True), STEPS),
    "in backward": (in_backward, STEPS),
    "sparse": (sparse, STEPS),
    "scheduled": (scheduled, STEPS),
    "group added later": (group_added_later, STEPS),
    "averaged": (averaged, STEPS),
    "frozen": (frozen, STEPS),
    "tied": (tied, STEPS),
    "in a thread": (in_thread, STEPS),
    "fused": (lambda: kernels(fused=True), STEPS),
    "foreach": (lambda: kernels(foreach=True), STEPS),
    "fused and scaled": (fused_and_scaled, STEPS),
    "folds": (folds, STEPS),
    "loader": (loader, STEPS),
    "accelerate": (accelerated, STEPS),
    "accelerate accumulation": (lambda: accelerated(2), STEPS),
}


def seeded(build: Build) -> Trained:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)
    return build()


def compilations() -> int:
    return torch._dynamo.utils.counters["frames"]["total"]


def compare(kind: str) -> dict[str, Any]:
    """Train one kind bare, bare again, watched by the budget, and watched at every step."""
    build, _ = KINDS[kind]
    bare = seeded(build)
    row: dict[str, Any] = {"kind": kind, "bare runs agree": bare.same_as(seeded(build)), "losses": bare.losses}
    row["compilations"] = compilations() // 2
    for every in (None, 1):
        before = compilations()
        with watching(every) as seen:
            watched = seeded(build)
        row[f"identical {every}"] = watched.same_as(bare)
        row[f"steps {every}"] = seen.observer.clock.steps
        row[f"notes {every}"] = [note["text"] for note in seen.of("note")]
        row[f"compilations {every}"] = compilations() - before
        row[f"looks {every}"] = seen.observer.looks
    row["signals"] = {}
    for step, family, values in seen.rows:
        for (signal, where), value in zip(family.columns, values.tolist(), strict=True):
            if value == value:
                row["signals"].setdefault(signal, {}).setdefault(where, {})[step] = value
    return row


def apart(kind: str) -> dict[str, Any]:
    """The same in a process of its own: compiling reaches into all of one."""
    here, there = FORK.Pipe(duplex=False)
    worker = FORK.Process(target=lambda: there.send(compare(kind)))
    worker.start()
    there.close()
    row = here.recv()
    worker.join()
    return row


if __name__ == "__main__":
    torch.set_num_threads(1)
    chosen = sys.argv[1:] or list(KINDS)
    compiling = [kind for kind in chosen if kind.startswith("compiled")]
    if compiling:  # what the first compilation imports, once for all
        import torch._dynamo.backends.debugging
        import torch._inductor.compile_fx
    rows = [apart(kind) for kind in compiling]  # first, for autograd can't be forked once it has worked
    print(json.dumps(rows + [compare(kind) for kind in chosen if kind not in compiling]))
