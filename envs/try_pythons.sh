#!/bin/sh
# Install the lock under other interpreters, and run the smoke study with each:
#
#   sh envs/try_pythons.sh python3.12 /opt/python3.13/bin/python3
#
# Each gets a copy of the last commit in a temporary folder, which stays if it fails. PIP_ARGS is passed on.
set -eu
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
for python in "$@"; do
    folder=$(mktemp -d)
    git -C "$root" archive HEAD | tar -x -C "$folder"
    begun=$(date +%s)
    make -C "$folder" setup PYTHON="$python" PIP_ARGS="${PIP_ARGS:-}"
    installed=$(date +%s)
    make -C "$folder" reproduce CONFIG=workflow/presets/smoke.yaml
    ended=$(date +%s)
    echo "$("$python" --version): installed in $((installed - begun)) s, smoke study in $((ended - installed)) s"
    rm -rf "$folder"
done
