"""
The driver inside its YARN application, which a launcher on the edge node has submitted.
"""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path

from traffic_aggr.cluster.request import DriverRequest
from traffic_aggr.cluster.submission import CONFIG_FILE, REQUEST_FILE, on_arrival
from traffic_aggr.config.load import load_config
from traffic_aggr.errors import InputError
from traffic_aggr.host import log
from traffic_aggr.host.edge import Edge
from traffic_aggr.restate import restatement
from traffic_aggr.restate.context import JobContext
from traffic_aggr.restate.journal import RunJournal
from traffic_aggr.run.definition import load_definition
from traffic_aggr.run.record import new_run_id
from traffic_aggr.run.store import RecordStore
from traffic_aggr.spark.hadoop import Hadoop
from traffic_aggr.spark.yarn import container

LOOK_EVERY_S = 2.0


def drive() -> int:
    """
    Executes the run that the files in the working directory request, and returns 0.

    Raises TrafficAggrError; the run record has the error too, once the run has begun.
    """
    here = container(os.environ)
    if here is None:
        raise InputError("this is no container of YARN", hint="Start the job with ./spark-submit.sh run")
    application_id, attempt = here
    config = load_config(CONFIG_FILE, {})
    job = load_definition(config.job.definition)
    request = DriverRequest.from_json(Path(REQUEST_FILE).read_text(encoding="utf-8"), job.partition)
    hadoop = Hadoop(config.spark, config.logs.dir)
    store = RecordStore(config.state.dir, hadoop.files, job)
    run_id, flag = request.run_id, request.flag
    earlier = store.load(run_id)
    if earlier.application_id is not None:
        # An earlier attempt began this run. Keep its record, which says what to settle and where to resume.
        run_id, flag = new_run_id(), earlier.flag
    reference = config.impala.auth.password
    secrets = {"impala.auth.password": reference.reveal({}, hadoop.secret)} if reference else {}
    # YARN collects what is written here; `yarn logs` shows it.
    logs = Path(os.environ.get("LOG_DIRS", "logs").split(",")[0])
    log.configure(replace(config.logs, dir=logs, syslog=False), run_id, secrets.values(), console=True)
    journal = RunJournal(
        config,
        store,
        Edge(flag),
        request.typed,
        application_id=application_id,
        attempt=attempt,
        dependants=request.dependants,
    )
    threading.Thread(target=_listen, args=(store, run_id), daemon=True).start()
    context = JobContext(on_arrival(config, Path.cwd()), journal, secrets, hadoop)
    restatement.run(context, lambda: request.ask, run_id, caused_by=request.caused_by)
    return 0


def _listen(store: RecordStore, run_id: str) -> None:
    """Waits for the launcher's request to stop, then sends this process the signal that the launcher received."""
    while True:
        signum = store.asked_to_stop(run_id)
        if signum is not None:
            os.kill(os.getpid(), signum)
            return
        threading.Event().wait(LOOK_EVERY_S)
