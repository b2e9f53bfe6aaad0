"""A page of the Dask dashboard with the progress of fits.

``dask scheduler --preload mfdask.watch`` has it from the start; else the first job brings it.
"""

from mfdask.watch.events import ProgressPublisher, SweepEvent
from mfdask.watch.serving import PATH
from mfdask.watch.watcher import dask_setup, show_page

__all__ = ["PATH", "ProgressPublisher", "SweepEvent", "dask_setup", "show_page"]
