"""Lets ``python -m mfdask JOB`` do what the console command `mfdask` does."""

from mfdask.jobs.cli import run

if __name__ == "__main__":
    run()
