"""A page of the Dask dashboard that shows how far a fit is.

``dask scheduler --preload mfdask.watch`` has it from the start; else the first job brings it.
"""

from mfdask.watch.events import SweepTold, tell
from mfdask.watch.place import PATH, dask_setup, show_page

__all__ = ["PATH", "SweepTold", "dask_setup", "show_page", "tell"]
