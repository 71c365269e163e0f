"""A pretend telescope: the example of the tutorial.

It observes the Hubble eXtreme Deep Field in many overlapping runs. The question is which galaxies
and stars there are. The runs are looked at one by one, so it takes a loop, or any pool::

    telescope.init(work_dir=work_dir)
    jobs = telescope.make_jobs(work_dir=work_dir)
    with Pool(3) as pool:
        return_codes = pool.map(telescope.run_job, jobs)
    sources = telescope.merge_catalogues(work_dir=work_dir)
    telescope.draw(work_dir=work_dir, path="field.png")
"""

from .drawing import draw
from .jobs import make_jobs, run_job
from .merging import merge_catalogues
from .observation import init

__all__ = ["draw", "init", "make_jobs", "merge_catalogues", "run_job"]
