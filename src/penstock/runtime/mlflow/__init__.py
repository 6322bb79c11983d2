"""What the ``mlflow`` runtime knows of ``MLmodel`` directories."""

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # before mlflow: a server reports nobody
