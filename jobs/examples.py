"""Examples of each job, for its help."""

from __future__ import annotations

#: For each job two lines that can be typed as they are, once their data and models are there.
EXAMPLES = {
    "ingest": (
        "mfdask ingest ml-latest-small.zip --split sequence:0.2",
        "mfdask ingest new.csv --into data/ml-latest-small",
    ),
    "inspect": (
        "mfdask inspect data/ml-latest-small",
        "mfdask inspect data/ml-latest-small --json",
    ),
    "check": (
        "mfdask check ratings.csv",
        "mfdask check events.csv --columns user=u,item=i,rating=what --map view=1,buy=5",
    ),
    "download": (
        "mfdask download ml-latest-small",
        "mfdask download ml-latest-small ml-1m",
    ),
    "train": (
        "mfdask train data/ml-latest-small --sweeps 30",
        "mfdask train data/ml-latest-small --model ials --preset small",
    ),
    "evaluate": (
        "mfdask evaluate output/models/ml-latest-small-als data/ml-latest-small",
        "mfdask evaluate output/models/m data/ml-latest-small --ranking --at 10,50",
    ),
    "compare": (
        "mfdask compare output/models/a output/models/b data/ml-latest-small",
        "mfdask compare output/models/a output/models/b data/d --users 5000",
    ),
    "abtest": (
        "mfdask abtest output/models/a output/models/b data/ml-latest-small",
        "mfdask abtest output/models/a output/models/b data/d --lift 0.02",
    ),
    "tune": (
        "mfdask tune data/ml-latest-small --search factors=5,10,20",
        "mfdask tune data/ml-latest-small --preset paper-grid",
    ),
    "models": (
        "mfdask models list --config nightly.toml",
        "mfdask models rollback --config nightly.toml",
    ),
    "recommend": (
        "mfdask recommend output/models/m --data data/ml-latest-small --user 1 --explain",
        'mfdask recommend output/models/m --rated "Toy Story (1995)=5"',
    ),
    "similar": (
        "mfdask similar output/models/ml-latest-small-als 1",
        'mfdask similar output/models/m "Toy Story (1995)" --min-ratings 20',
    ),
    "polarity": (
        "mfdask polarity output/models/ml-latest-small-als --min-ratings 50",
        "mfdask polarity output/models/m --top 5",
    ),
    "densify": (
        "mfdask densify output/models/m --top 100 --data data/ml-latest-small",
        "mfdask densify output/models/m --dtype uint8 --out output/predictions/m",
    ),
    "embed": (
        "mfdask embed output/models/ml-latest-small-als",
        "mfdask embed output/models/m --method tsne --min-ratings 20",
    ),
    "anomalies": (
        "mfdask anomalies output/models/m data/ml-latest-small",
        "mfdask anomalies output/models/m data/d --only attacks --clean-out output/clean",
    ),
    "churn": (
        "mfdask churn output/models/m data/ml-latest-small",
        "mfdask churn output/models/m data/ml-latest-small --horizon 30 --format csv",
    ),
    "ltv": (
        "mfdask ltv output/models/m data/ml-latest-small",
        "mfdask ltv output/models/m data/ml-latest-small --horizon 180 --format xlsx",
    ),
    "inject": (
        "mfdask inject data/ml-latest-small --attack random --targets 2",
        "mfdask inject data/ml-latest-small --sharing 20 --sharing-style handover",
    ),
    "nightly": (
        "mfdask nightly --init .",
        "mfdask nightly --config nightly.toml --dry-run",
    ),
    "status": (
        "mfdask status --config nightly.toml",
        "mfdask status --config nightly.toml --runs 30",
    ),
    "schedule": (
        "mfdask schedule --config nightly.toml --at 02:30",
        "mfdask schedule --config nightly.toml --at 02:30 --install",
    ),
    "report": (
        "mfdask report --data data/ml-latest-small --model output/models/m",
        "mfdask report --for night --home nightly --format pdf",
    ),
    "app": (
        "mfdask app output/models/a output/models/b",
        "mfdask app --home nightly --port 8080",
    ),
    "demo": (
        "mfdask demo",
        "mfdask demo --source synthetic:100k --sweeps 5",
    ),
    "warmup": (
        "mfdask warmup",
        "mfdask warmup --json",
    ),
    "bench": (
        "mfdask bench sweep data/ml-latest-small",
        "mfdask bench tiers data/ml-latest-small --json",
    ),
}


def examples_of(job: str) -> str | None:
    """Return what stands below a job's options, as click takes it: these lines stay lines."""
    lines = EXAMPLES.get(job)
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines) if lines else None
