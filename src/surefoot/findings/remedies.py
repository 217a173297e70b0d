"""Cures as code to paste: over the names ``model``, ``optimizer``, ``loss_fn``; each snippet runs as it is.

The first line says where it goes: ``# after: model|optimizer|loss`` (below the line that makes it; by
a call of ``CLASS``, where it says ``# after: optimizer = CLASS``) or ``# replace: <statement>``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from surefoot.runs.schema import Remedy


def _factor(factor: float) -> float:
    """A factor for a learning rate, at least 2 and at most 1e6, rounded up to 1, 2 or 5 times a power of ten."""
    factor = min(1e6, max(2.0, factor)) if math.isfinite(factor) else 10.0
    scale = 10.0 ** math.floor(math.log10(factor))
    return next(m * scale for m in (1.0, 2.0, 5.0, 10.0) if m * scale >= factor * 0.999)


def lower_rate(factor: float) -> Remedy:
    """Divide the learning rate by what the evidence says it is too high by; ``--apply`` asks the script itself."""
    factor = _factor(factor)
    return Remedy(
        name="lower learning rate",
        why=f"steps about {factor:g} times shorter come back inside what the loss can give",
        how=f'# after: optimizer\nfor group in optimizer.param_groups:\n    group["lr"] /= {factor:g}\n',
        apply=f"lr-search:factor={1 / factor:g}",
    )


def cap_rate(rate: float) -> Remedy:
    """Keep the rate from rising above one with which the run went well."""
    return Remedy(
        name="no higher learning rate than before",
        why=f"with rates up to {rate:.2g} the run went well; the higher one undid it",
        how=(
            "# after: optimizer\n"
            "def cap(optimizer, *_):  # better: take out what raises the rate\n"
            "    for group in optimizer.param_groups:\n"
            f'        group["lr"] = min(group["lr"], {rate:.2g})\n'
            "optimizer.register_step_pre_hook(cap)\n"
        ),
        apply=f"lr-cap:max={rate:.2g}",
    )


def floor_rate(rate: float) -> Remedy:
    """Keep the rate from falling far below one with which the run went well."""
    return Remedy(
        name="no much lower learning rate than before",
        why=f"before, the run went well with a higher rate; with {rate:.2g} it would go on",
        how=(
            "# after: optimizer\n"
            "def floor(optimizer, *_):  # better: give this stage its rate where it is made\n"
            "    for group in optimizer.param_groups:\n"
            f'        group["lr"] = max(group["lr"], {rate:.2g})\n'
            "optimizer.register_step_pre_hook(floor)\n"
        ),
        apply=f"lr-floor:min={rate:.2g}",
    )


DESCEND = Remedy(
    name="steps down the loss",
    why="the sign is wrong: the steps climb what is to be lowered, and no rate makes that right",
    how=(
        "# after: optimizer\n"
        "for group in optimizer.param_groups:\n"
        '    group["maximize"] = False  # and loss.backward() in the place of (-loss).backward()\n'
    ),
    apply="descend",
)


def raise_rate(factor: float) -> Remedy:
    """Multiply the learning rate by what the evidence says it is too low by; ``--apply`` asks the script itself."""
    factor = _factor(factor)
    return Remedy(
        name="raise learning rate",
        why=f"at {factor:g} times the rate a run of this length moves the weights by about their own size",
        how=f'# after: optimizer\nfor group in optimizer.param_groups:\n    group["lr"] *= {factor:g}\n',
        apply=f"lr-search:factor={factor:g}",
    )


def best_of(cures: Sequence[Remedy], *others: str) -> tuple[Remedy, ...]:
    """The same cures; the first of them is applied as the best of all that ``--apply`` knows, and of ``others``.

    Each of these is an id with its settings, or several that belong together, with ``+`` between.
    """
    known = list(dict.fromkeys([*(cure.apply for cure in cures if cure.apply is not None), *others]))
    if len(known) < 2:
        return tuple(cures)
    names = (" with ".join(id.partition(":")[0] for id in text.split("+")) for text in known if text != cures[0].apply)
    beside = ", ".join(dict.fromkeys(names))
    why = f"{cures[0].why} (--apply tries {beside} beside it, and takes what brings the script furthest)"
    return replace(cures[0], why=why, apply=f"best-of:of={'/'.join(known)}"), *cures[1:]


def critical_init(activation: str) -> Remedy:
    """Weights drawn anew at the critical point of the network's activation; "" is a linear network."""
    known = {"": "linear", "hardtanh": "tanh"}.get(activation, activation)
    return Remedy(
        name="surefoot.init.critical_",
        why=f"at the critical point of {known} neither signal nor gradient grows or shrinks geometrically over depth",
        how=f'# after: optimizer\nfrom surefoot.init import critical_\ncritical_(model, "{known}")\n',
        apply="critical-init",
    )


LAYER_NORM = Remedy(
    name="torch.nn.LayerNorm after each block",
    why="the next block then gets a signal of size 1, whatever the one before multiplies it by: so it holds where no "
    "size of the weights would do",
    how=(
        "# after: model\n"
        "import torch\n"
        "def normed(module, args, output):  # better: self.norm(…) with a torch.nn.LayerNorm where the block returns\n"
        "    return torch.nn.functional.layer_norm(output, output.shape[-1:])\n"
        "for module in [m for m in model.modules() if isinstance(m, torch.nn.Linear)][:-1]:\n"
        "    module.register_forward_hook(normed)\n"
    ),
    apply="layer-norm",
)
AGC = Remedy(
    name="surefoot.optim.adaptive_clip_grad_",
    why="bounds each unit's gradient by a share of its own weights, so that no layer is thrown far off by one step",
    how=(
        "# replace: optimizer.step()\n"
        "from surefoot.optim import adaptive_clip_grad_\n"
        "adaptive_clip_grad_(model.parameters(), clip=0.01)\n"
        "optimizer.step()\n"
    ),
    apply="agc",
)
WARM_UP = Remedy(
    name="surefoot.optim.warmup_factor",
    why="the first steps, with few gradients behind Adam's averages and often the largest curvature, are short ones",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "from surefoot.optim import warmup_factor\n"
        "warmup = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: warmup_factor(t + 1, 100))\n"
        "optimizer.register_step_post_hook(lambda *_: warmup.step())\n"
    ),
    apply="warmup",
)
CLIP = Remedy(
    name="torch.nn.utils.clip_grad_norm_",
    why="bounds the length of the gradient, and with it the length of a step of SGD",
    how=(
        "# replace: optimizer.step()\n"
        "import torch\n"
        "torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)\n"
        "optimizer.step()\n"
    ),
    apply="clip",
)


def clip_at(norm: float) -> Remedy:
    """Bound the gradient by a norm that is usual in this run; by 1 where none is known."""
    norm = float(f"{norm:.2g}") if math.isfinite(norm) and norm > 0 else 1.0
    return Remedy(
        name=CLIP.name,
        why="bounds the length of the gradient by what is usual in this run, and with it the length of a step",
        how=CLIP.how.replace("max_norm=1.0", f"max_norm={norm:g}"),
        apply=f"clip:max_norm={norm:g}",
    )


def weight_decay(decay: float) -> Remedy:
    """Decoupled decay of strength ``decay``, as of AdamW; rounded to two digits."""
    decay = float(f"{decay:.2g}")
    return Remedy(
        name="weight decay",
        why="pulls back weights that only grow: what the loss does not hold up falls",
        how=(
            "# after: optimizer\n"
            "import torch\n"
            "@torch.no_grad()\n"
            f"def decay(optimizer, *_):  # what torch.optim.AdamW(…, weight_decay={decay:g}) does\n"
            "    for group in optimizer.param_groups:\n"
            '        for weight in group["params"]:\n'
            "            if weight.dim() > 1:\n"
            f'                weight.mul_(1 - group["lr"] * {decay:g})\n'
            "optimizer.register_step_post_hook(decay)\n"
        ),
        apply=f"weight-decay:decay={decay:g}",
    )


SAFE_STEP = Remedy(
    name="surefoot.optim.SafeStep",
    why=(
        "shortens each step to the radius in which the cross-entropy's expansion converges: whatever the rate, no step "
        "leaves what the gradient knows of"
    ),
    how="# after: optimizer\nfrom surefoot.optim import SafeStep\noptimizer = SafeStep(optimizer, model)\n",
    apply="safe-step",
)
DAL = Remedy(
    name="surefoot.optim.DAL",
    why="finds the rate anew at each step from the curvature along the gradient, so that no step goes beyond its edge",
    how=(
        "# after: optimizer\n"
        "from surefoot.optim import DAL\n"
        "dal = DAL(model.parameters())\n"
        "def train_step(inputs, targets):  # call it in the place of forward, backward and optimizer.step()\n"
        "    return dal.step(lambda: loss_fn(model(inputs), targets))\n"
    ),
)
ZERO_GRAD = Remedy(
    name="optimizer.zero_grad()",
    why="each step then uses the gradient of its own batch only",
    how="# replace: optimizer.step()\noptimizer.step()\noptimizer.zero_grad()\n",
    apply="zero-grad",
)
KAIMING = Remedy(
    name="torch.nn.init.kaiming_normal_",
    why="variance 2/fan_in keeps signal and gradient of a ReLU network the same size over depth (C_W = 2)",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "for module in model.modules():\n"
        "    if isinstance(module, (torch.nn.Linear, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d)):\n"
        '        torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")\n'
        "        if module.bias is not None:\n"
        "            torch.nn.init.zeros_(module.bias)\n"
    ),
    apply="critical-init",
)
ORTHOGONAL = Remedy(
    name="torch.nn.init.orthogonal_",
    why="orthogonal weights with gain 1 are critical for tanh: neither signal nor gradient shrinks geometrically",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "for module in model.modules():\n"
        "    if isinstance(module, torch.nn.Linear):\n"
        "        torch.nn.init.orthogonal_(module.weight)\n"
        "        if module.bias is not None:\n"
        "            torch.nn.init.zeros_(module.bias)\n"
    ),
)
RELU_FOR_SIGMOID = Remedy(
    name="torch.nn.ReLU in place of torch.nn.Sigmoid",
    why="the slope of a sigmoid is at most 1/4 and it has no critical initialisation; that of a ReLU is 1",
    how=(
        "# after: optimizer\n"
        "import torch\n"
        "paths = [path for path, module in model.named_modules() if isinstance(module, torch.nn.Sigmoid)]\n"
        "last = list(model.named_modules())[-1][0]\n"
        "for path in paths:\n"
        "    if path and path != last:\n"
        '        parent, _, name = path.rpartition(".")\n'
        "        setattr(model.get_submodule(parent), name, torch.nn.ReLU())\n"
        "for module in model.modules():\n"
        "    if isinstance(module, torch.nn.Linear):\n"
        '        torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")\n'
    ),
    apply="relu",
)
LEAKY = Remedy(
    name="torch.nn.LeakyReLU in place of torch.nn.ReLU",
    why="a slope on the negative side lets gradient through to units that would stay off for ever",
    how=(
        "# after: model\n"
        "import torch\n"
        "for path, module in list(model.named_modules()):\n"
        "    if path and isinstance(module, torch.nn.ReLU):\n"
        '        parent, _, name = path.rpartition(".")\n'
        "        setattr(model.get_submodule(parent), name, torch.nn.LeakyReLU(0.1))\n"
    ),
    apply="leaky-relu",
)
ZERO_BIAS = Remedy(
    name="surefoot.init.zero_bias_",
    why="with zero biases and symmetric weights every unit is on for about half of the inputs",
    how="# after: optimizer\nfrom surefoot.init import zero_bias_\nzero_bias_(model)\n",
    apply="zero-bias",
)
LOGITS_FROM_MODEL = Remedy(
    name="raw logits to the loss",
    why="the loss function has its softmax or sigmoid inside; the model's own in front of it is taken off",
    how=(
        "# after: model\n"
        "import torch\n"
        "path, last = list(model.named_modules())[-1]\n"
        "if path and isinstance(last, (torch.nn.Softmax, torch.nn.Sigmoid)):\n"
        '    parent, _, name = path.rpartition(".")\n'
        "    setattr(model.get_submodule(parent), name, torch.nn.Identity())\n"
    ),
    apply="log-probabilities",  # the softmax of the logarithms is what the softmax was
)
NLL_OF_LOG = Remedy(
    name="torch.nn.functional.nll_loss on log-probabilities",
    why="the right loss where the model must go on returning probabilities",
    how=(
        "# after: loss\n"
        "import torch\n"
        "def loss_fn(probabilities, targets):\n"
        "    return torch.nn.functional.nll_loss(probabilities.clamp_min(1e-12).log(), targets)\n"
    ),
    apply="log-probabilities",
)
PLAIN_BCE = Remedy(
    name="torch.nn.functional.binary_cross_entropy",
    why="the right loss where the model must go on returning probabilities",
    how="# after: loss\nimport torch\nloss_fn = torch.nn.functional.binary_cross_entropy\n",
)
ALL_PARAMETERS = Remedy(
    name="optimizer.add_param_group",
    why="the parameters that nobody updates join the optimiser",
    how=(
        "# after: optimizer\n"
        'held = {id(p) for group in optimizer.param_groups for p in group["params"]}\n'
        "missed = [p for p in model.parameters() if p.requires_grad and id(p) not in held]\n"
        "if missed:\n"
        '    optimizer.add_param_group({"params": missed})\n'
    ),
    apply="all-parameters",
)
FREEZE_EXPLICITLY = Remedy(
    name="requires_grad_(False)",
    why="if these parameters are meant to stay as they are, this says so, and saves their share of the backward",
    how=(
        "# after: optimizer\n"
        'held = {id(p) for group in optimizer.param_groups for p in group["params"]}\n'
        "for p in model.parameters():\n"
        "    if id(p) not in held:\n"
        "        p.requires_grad_(False)\n"
    ),
)
KEEP_GRAPH = Remedy(
    name="no detach() on the way to the loss",
    why="the loss then reaches all that the optimiser holds: --apply keep-graph passes over the detach() that cuts it "
    "off and names its line; the snippet lists the parameters without a gradient (detach(), .data, .item(), numpy() or "
    "no_grad is between them and the loss)",
    how=(
        "# replace: optimizer.step()\n"
        "print([name for name, p in model.named_parameters() if p.requires_grad and p.grad is None])\n"
        "optimizer.step()\n"
    ),
    apply="keep-graph",
)
SKIP_NONFINITE = Remedy(
    name="skip steps with a non-finite gradient",
    why="one bad batch then costs one step and not the weights",
    how=(
        "# replace: optimizer.step()\n"
        "import torch\n"
        "gradients = [p.grad for p in model.parameters() if p.grad is not None]\n"
        "if all(bool(torch.isfinite(g).all()) for g in gradients):\n"
        "    optimizer.step()\n"
    ),
    apply="skip-bad-batch",
)
ANOMALY = Remedy(
    name="torch.autograd.set_detect_anomaly",
    why="the next backward names the operation that gave the first NaN (slow: for the search only)",
    how="# after: model\nimport torch\ntorch.autograd.set_detect_anomaly(True)\n",
)
LOOK_AT_BATCH = Remedy(
    name="look at one batch",
    why="prints once how much the inputs of a batch differ: near 0 there is nothing to learn from; if they do differ, "
    "see whether targets belong to them",
    how=(
        "# after: model\n"
        "def spread(module, args):\n"
        "    handle.remove()\n"
        "    rows = args[0].detach().float().flatten(1)\n"
        '    print("spread of the inputs over the batch:", float(rows.std(0).mean()))\n'
        "handle = model.register_forward_pre_hook(spread)\n"
    ),
)
