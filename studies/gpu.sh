#!/usr/bin/env bash
# The study on a machine with one NVIDIA GPU, in at most 12 minutes: `bash studies/gpu.sh PART...`.
#
#   smoke    tests and probe at the same time, then quick          120 s
#   tests    everything on CUDA against the CPU in float64          90 s
#   probe    the first steps of every population of `zoo`           60 s
#   quick    the shortest benchmarks                                70 s
#   bench    layers and training steps                              90 s
#   study    runs of the paper's size on the GPU, raven-small beside them, on GPU and cores
#
# SECONDS_LEFT is the time for all parts together (default 540), PAPER the parts of the study for
# the GPU, ZOO_AT_ONCE and CORES how many populations and processes run beside them. What is measured goes to $OUT (default
# runs/gpu) line by line, so nothing is lost when this is stopped. Then:
#
#   python studies/raven.py merge $OUT/paper.jsonl $OUT/zoo-gpu.jsonl $OUT/zoo-cpu.jsonl
set -u
cd "$(dirname "$0")/.."
out=${OUT:-runs/gpu}
mkdir -p "$out"
out=$(cd "$out" && pwd)
left=${SECONDS_LEFT:-540}
paper=${PAPER:-paper-adamw-2M paper-muon-2M}
links=/tmp/attenergy.links
zoo=${ZOO:-zoo}
at_once=${ZOO_AT_ONCE:-2}
cores=${CORES:-10}
begin=$(date +%s)
python=${PYTHON:-python3}

remaining() { echo $((left - ($(date +%s) - begin))); }
say() { echo "[$(($(date +%s) - begin)) s] $*"; }

# A tree of links serves as the installed package; wheels carried along bring what is missing.
setup() {
  mkdir -p "$links/attenergy/data" "$links/attenergy-0.1.0.dist-info"
  for name in __init__.py py.typed; do ln -sfn "$PWD/src/attenergy/$name" "$links/attenergy/$name"; done
  for room in registry energies attention tasks search analysis testing; do
    ln -sfn "$PWD/$room" "$links/attenergy/$room"
  done
  ln -sfn "$PWD/registry.yaml" "$links/attenergy/data/registry.yaml"
  version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -1)
  printf 'Metadata-Version: 2.1\nName: attenergy\nVersion: %s\n' "$version" \
    > "$links/attenergy-0.1.0.dist-info/METADATA"
  if ! "$python" -c 'import optuna, lark, pydantic, sqlalchemy' 2>/dev/null && [ -d .whl ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade \
      --target /tmp/site .whl/*.whl || exit 1
  fi
  export PYTHONPATH=$links:/tmp/site PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1
  export PYTORCH_NVML_BASED_CUDA_CHECK=1 PYTHONWARNINGS=ignore
  "$python" - <<'PY' || exit 1
import attenergy, torch
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
print("torch", torch.__version__, "cuda", torch.version.cuda, "gpu", gpu, flush=True)
PY
}

tests() {
  timeout -k 5 "${1:-90}" "$python" -m pytest -q -m cuda -n "${TEST_PROCESSES:-8}" --tb=short -rf \
    -o filterwarnings=default -p no:cacheprovider \
    tests/devices/test_cuda.py tests/search/training/test_on_a_gpu.py 2>&1 | tail -n 250
}

probe() {
  timeout -k 5 $((${1:-60} + 10)) "$python" studies/populations.py zoo --seeds 1,2 --steps 30 \
    --at-once 3 --seconds "${1:-60}" --reserve 5 --out "$out/probe.jsonl" 2>&1
}

bench() { timeout -k 5 $(($1 + 20)) "$python" studies/gpu_bench.py --out "$out/bench.jsonl" --seconds "$1" "${@:2}" 2>&1; }

beside() { # NAME COMMAND...: a line of the log says whose it is
  "${@:2}" 2>&1 | sed -u "s/^/$1: /" >> "$out/log.txt" &
}

study() {
  local time=$(($(remaining) - 15)) limit
  limit=(timeout -k 5 $((time + 8)) "$python")
  say "$time s for $paper, and raven-small beside it"
  # shellcheck disable=SC2086 # names of several parts, and options
  beside paper "${limit[@]}" studies/populations.py $paper --seconds "$time" --reserve 25 \
    --at-once 6 --out "$out/paper.jsonl"
  # shellcheck disable=SC2086
  [ "$at_once" -eq 0 ] || beside zoo-gpu "${limit[@]}" studies/populations.py $zoo \
    --seconds "$time" --reserve 12 --at-once "$at_once" --out "$out/zoo-gpu.jsonl"
  if [ "$cores" -gt 0 ]; then
    CUDA_VISIBLE_DEVICES='' beside zoo-cpu "${limit[@]}" studies/raven.py run zoo --backwards \
      --minutes "$(awk "BEGIN {print ($time - 8) / 60}")" --workers "$cores" --records /tmp/zoo-cpu
    (for _ in $(seq $((time / 5 + 2))); do sleep 5; copy_records; done) &
    copier=$!
  fi
  wait $(jobs -p | grep -v "^${copier:-0}$")
  [ -z "${copier:-}" ] || kill "$copier"
  copy_records
  tail -n 120 "$out/log.txt"
}

copy_records() { cp /tmp/zoo-cpu/zoo/records.jsonl "$out/zoo-cpu.jsonl" 2>/dev/null; true; }

setup
for part in "$@"; do
  say "$part"
  case $part in
    smoke)
      beside probe probe "${PROBE_SECONDS:-50}"
      tests "${TEST_SECONDS:-65}"
      wait
      tail -n 90 "$out/log.txt"
      bench "${BENCH_SECONDS:-45}" --quick --only stacked,single
      ;;
    tests) tests "${TEST_SECONDS:-90}" ;;
    probe) probe "${PROBE_SECONDS:-60}" ;;
    quick) bench "${BENCH_SECONDS:-70}" --quick ;;
    bench) bench "${BENCH_SECONDS:-90}" ;;
    study) study ;;
    *) echo "no part $part: smoke, tests, probe, quick, bench, study"; exit 2 ;;
  esac
done
say "ends; $(remaining) s are left"
