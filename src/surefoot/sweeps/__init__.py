"""Sweeps of any training script over learning rates and sizes: plan, launch, read many runs, forecast."""

from surefoot.sweeps.launch import launch as launch
from surefoot.sweeps.plan import Plan as Plan
from surefoot.sweeps.plan import Trial as Trial
from surefoot.sweeps.plan import plan as plan
from surefoot.sweeps.read import Outcome as Outcome
from surefoot.sweeps.read import read as read
from surefoot.sweeps.summary import summary as summary
