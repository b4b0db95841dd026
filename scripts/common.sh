# shellcheck shell=bash disable=SC2034
# Sourced by the scripts here: where things are, and how to talk to the user.
set -euo pipefail
umask 022

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PG_CONFIG=${PG_CONFIG:-pg_config}

if [ -t 2 ]; then BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'; else BOLD='' RED='' PLAIN=''; fi
say() { echo "${BOLD}ai_audio:${PLAIN} $*" >&2; }
# die WHAT [WHAT TO DO]...
die() {
  echo "${RED}ai_audio: $1${PLAIN}" >&2
  shift
  for line in "$@"; do echo "  $line" >&2; done
  exit 1
}
have() { command -v "$1" > /dev/null 2>&1; }

# python_with FOLDER REQUIREMENTS WHAT: makes a Python environment with pinned packages, where it is not there yet.
python_with() {
  if cmp -s "$2" "$1/installed.txt"; then return; fi
  say "installing $3"
  python3 -m venv "$1"
  "$1/bin/pip" install --quiet --requirement "$2" >&2
  cp "$2" "$1/installed.txt"
}
