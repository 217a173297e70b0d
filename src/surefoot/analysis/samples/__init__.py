"""What a batch holds: the identity of its samples, each sample's own loss, the order of labels, the scale of inputs."""

from surefoot.analysis.samples.hashing import row_hashes
from surefoot.analysis.samples.order import LabelOrder, label_order, target_order
from surefoot.analysis.samples.row_losses import ROW_LOSSES, expansion, row_losses, top_share
from surefoot.analysis.samples.scale import (
    ColumnErrors,
    InputScale,
    column_errors,
    far_rows,
    far_targets,
    input_scale,
    preactivation_scale,
)
from surefoot.analysis.samples.tracking import KEPT_SAMPLES, Seen, Tracked, see, track

__all__ = [
    "KEPT_SAMPLES",
    "ROW_LOSSES",
    "ColumnErrors",
    "InputScale",
    "LabelOrder",
    "Seen",
    "Tracked",
    "column_errors",
    "expansion",
    "far_rows",
    "far_targets",
    "input_scale",
    "label_order",
    "preactivation_scale",
    "row_hashes",
    "row_losses",
    "see",
    "target_order",
    "top_share",
    "track",
]
