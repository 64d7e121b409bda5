#!/bin/bash
# One machine's part of a training that several machines share: run it on each of them, with the same words.
#   NODES=2 DEVICES=4 FIRST=gpu01:29500 deploy/torchrun/train.sh RECIPE RUN NAME=STORE...
# FIRST is a machine of them and a free port there. RUN is a folder that every machine sees. STORE is a prepared store:
# a folder that every machine sees, or a URL. Started again after an end of any kind, on all machines, it goes on where
# it was. docs/training-clusters.md says more.
set -euo pipefail

if [ "$#" -lt 3 ]; then
    echo "usage: NODES=2 DEVICES=4 FIRST=gpu01:29500 train.sh RECIPE RUN NAME=STORE..." >&2
    exit 2
fi
: "${NODES:?how many machines}" "${DEVICES:?how many devices each machine has}" "${FIRST:?a machine of them, and a port}"
recipe=$1
run=$2
shift 2
stores=()
for store in "$@"; do
    stores+=(--data "$store")
done

# A run that is there goes on from its last whole epoch.
resume=()
if [ -e "$run/recipe.yaml" ]; then
    resume=(--resume)
fi

exec torchrun --nnodes "$NODES" --nproc-per-node "$DEVICES" ${ADDRESS:+--local-addr "$ADDRESS"} \
    --rdzv-backend c10d --rdzv-endpoint "$FIRST" --rdzv-id "$(basename "$run")" \
    -m ecoscale train "$recipe" "${stores[@]}" --out "$run" --nodes "$NODES" --devices "$DEVICES" --quiet "${resume[@]}"
