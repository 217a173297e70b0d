"""Which samples make training oscillate: opposing groups found from per-sample losses, and their link to curvature.

Source: Rosenfeld and Risteski, "Outliers with Opposing Signals Have an Outsized Effect on Neural Network
Optimization", ICLR 2024, arXiv 2311.04163.
"""

from surefoot.analysis.outliers.changes import LossChanges, compute, loss_changes, update
from surefoot.analysis.outliers.curvature import (
    eigen_alignment,
    group_gradient,
    group_gradient_cosine,
    sample_slopes,
    top_hessian_eig,
)
from surefoot.analysis.outliers.groups import OpposingGroups, concentration, opposing_groups
from surefoot.analysis.outliers.judge import Criterion, OpposingVerdict, judge, samples_to_inspect
from surefoot.analysis.outliers.linear_model import OpposingLinearModel, Trajectory
from surefoot.analysis.outliers.pictures import montage, picture_groups
from surefoot.analysis.outliers.planted import feature_probe, plant_opposing_signal
from surefoot.analysis.outliers.report import OutlierReport, outlier_report

__all__ = [
    "Criterion",
    "LossChanges",
    "OpposingGroups",
    "OpposingLinearModel",
    "OpposingVerdict",
    "OutlierReport",
    "Trajectory",
    "compute",
    "concentration",
    "eigen_alignment",
    "feature_probe",
    "group_gradient",
    "group_gradient_cosine",
    "judge",
    "loss_changes",
    "montage",
    "opposing_groups",
    "outlier_report",
    "picture_groups",
    "plant_opposing_signal",
    "sample_slopes",
    "samples_to_inspect",
    "top_hessian_eig",
    "update",
]
