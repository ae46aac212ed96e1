#!/bin/sh
# Make local/services/locks/project.sha256 anew: the jars that Leiningen resolves for project.clj, fetched afresh.
set -eu
cd "$(dirname "$0")/.."
lock=$PWD/local/services/locks/project.sha256
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -n '/^(defproject/,$p' project.clj >"$work/project.clj" # without the check against the lock that is to be made
cd "$work"
LEIN_NO_USER_PROFILES=1 lein update-in : assoc :local-repo "\"$work/repository\"" -- deps
cd "$work/repository"
find . -name '*.jar' | sed 's|^\./||' | LC_ALL=C sort | xargs sha256sum >"$lock"
wc -l "$lock"
