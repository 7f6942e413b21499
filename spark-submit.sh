#!/usr/bin/env bash
#
# Starts the job: ./spark-submit.sh COMMAND [ARGUMENT...]; ./spark-submit.sh --help lists the commands.
#
# Works from cron: any directory, no HOME, no locale. What it looks for, in this order:
#   Python         $TRAFFIC_AGGR_PYTHON, the project's .venv/bin/python, python3 on PATH
#   Spark          $SPARK_HOME, the PySpark that this Python has
#   configuration  --config FILE, $TRAFFIC_AGGR_CONFIG, conf/local.yaml of the project
#   cluster        $HADOOP_CONF_DIR or $YARN_CONF_DIR, /etc/hadoop/conf
#
# The driver takes this process over, so its signals and its exit code are those of this script. It starts Spark's JVM
# beneath itself, through $SPARK_HOME/bin/spark-submit, and only for commands that need one. In YARN's cluster mode the
# driver runs elsewhere, and this process is its launcher: it passes signals on, and ends with the driver's exit code.

set -euo pipefail

fail() {
    printf 'traffic-aggr: %s\n' "$1" >&2
    exit 2
}

root=$(cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")" && pwd -P)

if [[ -n ${TRAFFIC_AGGR_PYTHON:-} ]]; then
    python=$TRAFFIC_AGGR_PYTHON
    command -v -- "$python" >/dev/null ||
        fail "TRAFFIC_AGGR_PYTHON=$python is not a program. Set it to a Python 3.9 or later, or unset it"
elif [[ -x $root/.venv/bin/python ]]; then
    python=$root/.venv/bin/python
else
    python=$(command -v python3) ||
        fail "no Python found. Run \`make -C $root setup\`, or set TRAFFIC_AGGR_PYTHON"
fi

python_path=$root
if [[ -n ${SPARK_HOME:-} ]]; then
    [[ -x $SPARK_HOME/bin/spark-submit ]] ||
        fail "SPARK_HOME=$SPARK_HOME holds no bin/spark-submit. Set it to Spark's directory, or unset it"
    python_path+=:$SPARK_HOME/python
    for archive in "$SPARK_HOME"/python/lib/*.zip; do
        python_path+=:$archive
    done
fi

if [[ -z ${HADOOP_CONF_DIR:-}${YARN_CONF_DIR:-} && -d /etc/hadoop/conf ]]; then
    export HADOOP_CONF_DIR=/etc/hadoop/conf
fi

# bash makes a PATH where cron or env -i gave none, but keeps it to itself.
export PATH
export PYTHONUTF8=1
export PYTHONPATH=$python_path${PYTHONPATH:+:$PYTHONPATH}
export TRAFFIC_AGGR_PROGRAM=${TRAFFIC_AGGR_PROGRAM:-$root/spark-submit.sh}
export TRAFFIC_AGGR_CONFIG=${TRAFFIC_AGGR_CONFIG:-$root/conf/local.yaml}

# The script rather than `-m traffic_aggr`, which would let files in the current directory pass for modules.
exec "$python" "$root/jobs/traffic_adhoc_aggr.py" "$@"
