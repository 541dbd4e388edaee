# shellcheck shell=bash
# Copyright (c) 2026 The Muster authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# What the scripts beside this file share: named steps, interpreters and cached environments. Sourced, never run.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/muster-ci
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
failed=()
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH

# step NAME COMMAND...: runs it with its output in a log; says the name, the outcome and the seconds; shows the log's end if it failed.
# A failure is kept in `failed`, so that one run tells about every step.
step() {
    local name=$1 log code=0 begin=$SECONDS
    shift
    log=$logs/${name//[^a-zA-Z0-9.-]/_}
    # In a subshell of its own, not as a condition: there `set -e` would be off inside the command.
    set +e
    (set -e; "$@") >"$log" 2>&1 </dev/null
    code=$?
    set -e
    if [ "$code" = 0 ]; then
        printf 'ok      %-34s %4d s\n' "$name" $((SECONDS - begin))
    else
        printf 'FAILED  %-34s %4d s, exit code %d; the last lines it wrote:\n' "$name" $((SECONDS - begin)) "$code"
        tail -n 80 "$log" | sed 's/^/    /'
        failed+=("$name")
    fi
}

# finish: exits 1 with the names of the steps that failed, if any did.
finish() {
    [ ${#failed[@]} = 0 ] && return
    printf 'failed: %s\n' "$(IFS=,; echo "${failed[*]}")" | sed 's/,/, /g'
    exit 1
}

# python VERSION: prints the path of a real interpreter of that version (a pyenv shim that refuses to run is none).
python_of() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/"python$1"; do
        "$candidate" -c 'import sys, venv; print(sys.executable)' 2>/dev/null && return
    done
    return 1
}

# environment NAME PYTHON REQUIREMENTS-FILE...: makes a virtual environment, or finds the one that an earlier run made from the
# same requirements, and puts its path into the variable `venv`.
environment() {
    local name=$1 python=$2 digest files=() file
    shift 2
    for file in "$@"; do files+=(--requirement "$file"); done
    digest=$({ "$python" --version; cat "$@"; } | sha256sum | cut -c 1-12)
    venv=$cache/$name-$digest
    [ -e "$venv/complete" ] && return
    rm -rf "$venv"
    mkdir -p "$cache"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install -qq "${files[@]}"
    touch "$venv/complete"
}
