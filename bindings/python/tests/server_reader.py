"""Prints the traces of an experiment as MLflow's own client reads them.

Usage: server_reader.py TRACKING_URI EXPERIMENT COUNT
"""

import json
import sys
import time

import mlflow

uri, experiment, count = sys.argv[1:]
mlflow.set_tracking_uri(uri)
experiment_id = mlflow.get_experiment_by_name(experiment).experiment_id
deadline = time.monotonic() + 20
traces = []
while len(traces) < int(count) and time.monotonic() < deadline:
    traces = mlflow.search_traces(
        locations=[experiment_id], return_type="list", order_by=["timestamp ASC"]
    )
json.dump([trace.to_dict() for trace in traces], sys.stdout)
