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

# debian_source FOLDER SUITE PACKAGE: fetches a source package of Debian into a folder, from the mirror that this machine uses, with
# apt's signatures and with lists and archives of its own: the machine's configuration stays as it is.
debian_source() {
  local apt=$1/apt site
  # shellcheck disable=SC2016  # apt expands these
  site=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' 'Origin: Debian' \
    | awk '$2 !~ /security|updates|backports/ { print $1; exit }')
  [ -n "$site" ] || return 1
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
  echo "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $2 main" > "$apt/sources.list"
  local options=(-q -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$apt/lists"
    -o Dir::Cache="$apt/cache" -o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none)
  apt-get "${options[@]}" update >&2 && (cd "$1" && apt-get "${options[@]}" source --download-only "$3" >&2) || return 1
  rm -rf "$apt"
}
