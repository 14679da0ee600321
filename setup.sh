#!/usr/bin/env bash
# Prepare a Debian or Ubuntu machine: PostGIS from the distribution, Python packages in .venv.
# Steps that are done are skipped. Called by make; needs root or sudo only when a system package is missing.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON="${PYTHON:-python3}"

say() { printf '\033[1m%s\033[0m\n' "$*"; }
refuse() { printf 'setup: %s\n' "$*" >&2; exit 2; }

command -v "$PYTHON" >/dev/null || refuse "$PYTHON was not found; install Python 3.11 or later, or call make PYTHON=/path/to/python3"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
    || refuse "$("$PYTHON" --version) is too old; install Python 3.11 or later, or call make PYTHON=/path/to/python3"

missing=()
compgen -G '/usr/share/postgresql/*/extension/postgis.control' >/dev/null || missing+=(postgresql-postgis)
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
# libraries that wheels need and that a minimal container lacks
compgen -G '/usr/lib/*/libexpat.so.1' >/dev/null || compgen -G '/lib/*/libexpat.so.1' >/dev/null || missing+=(libexpat1)

if [ "${#missing[@]}" -gt 0 ]; then
    as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || refuse "as root, install: ${missing[*]} (apt-get install ${missing[*]}), then call make again"
        as_root=(sudo)
    fi
    command -v apt-get >/dev/null || refuse "apt-get was not found; on systems other than Debian and Ubuntu, install PostgreSQL with PostGIS, then call make again"
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -q
    if [[ " ${missing[*]} " == *" postgresql-postgis "* ]] && ! apt-cache show postgresql-postgis >/dev/null 2>&1; then
        # in older releases the name of the package contains the version
        newest=$(apt-cache search --names-only '^postgresql-[0-9]+-postgis-3$' | sort -V | tail -n 1 | cut -d' ' -f1)
        missing=("${missing[@]/postgresql-postgis/$newest}")
    fi
    # prevent the package from creating and starting a server, which is not needed
    quiet=/etc/postgresql-common/createcluster.d/lake-monitor.conf
    "${as_root[@]}" mkdir -p "$(dirname "$quiet")"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$quiet" >/dev/null
    trap '"${as_root[@]}" rm -f "$quiet"' EXIT
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
fi

if [ ! -x .venv/bin/python ]; then
    say "Creating .venv"
    "$PYTHON" -m venv .venv
fi
say "Installing Python packages into .venv (several minutes the first time)"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
