#!/usr/bin/env bash
# The study on a machine with one NVIDIA GPU, in at most 12 minutes: `bash studies/gpu.sh PART...`.
#
#   tests    everything on CUDA against the CPU in float64          90 s
#   probe    the first steps of every population of `zoo`           60 s
#   quick    training steps alone                                   30 s
#   bench    layers and training steps                              90 s
#   study    runs of the paper's size on the GPU, `zoo` on the cores; what time the GPU has left
#            goes to `zoo`
#
# SECONDS_LEFT is the time for all parts together (default 540). PAPER are the parts of the study for
# the GPU, with options of populations.py, one after the other by semicolons; CORES how many runs of
# `zoo` train beside them; TESTS_BESIDE=1 begins the tests with the study. What is measured goes to
# $OUT (default runs/gpu) line by line, so nothing is lost when this is stopped. Then:
#
#   python studies/raven.py merge $OUT/paper.jsonl $OUT/zoo-gpu.jsonl $OUT/zoo-cpu.jsonl
set -u
cd "$(dirname "$0")/.."
out=${OUT:-runs/gpu}
mkdir -p "$out"
out=$(cd "$out" && pwd)
left=${SECONDS_LEFT:-540}
paper=${PAPER:-paper-muon-1M; --fit paper-adamw-2M paper-adamw-1M --variants softmax,linear,hyla}
zoo=${ZOO:-zoo}
cores=${CORES:-11}
links=/tmp/attenergy.links
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

tests() { # SECONDS PROCESSES
  timeout -k 5 "$1" "$python" -m pytest -q -m "cuda or not cuda" -n "$2" --tb=short -rf \
    -o filterwarnings=default -p no:cacheprovider --show-capture=no tests/devices/test_cuda.py \
    tests/search/training/test_on_a_gpu.py tests/studies > "$out/tests.txt" 2>&1
  grep -E "^E  |^FAILED|passed|failed" "$out/tests.txt" | cut -c1-220 | tail -n 80
}

probe() {
  timeout -k 5 $((${1:-60} + 10)) "$python" studies/populations.py zoo --seeds 1,2 --steps 30 \
    --at-once 3 --seconds "${1:-60}" --reserve 5 --out "$out/probe.jsonl" 2>&1
}

bench() { timeout -k 5 $(($1 + 20)) "$python" studies/gpu_bench.py --out "$out/bench.jsonl" --seconds "$1" "${@:2}" 2>&1; }

say_whose() { sed -u "s/^/$1: /"; }

# The parts of the paper's size, then what fits of the zoo.
gpu_queue() { # END, in seconds from the beginning
  local entry now
  IFS=';' read -ra entries <<< "$paper"
  for entry in "${entries[@]}" "$zoo --seeds 2,3,4,5"; do
    now=$(($1 - ($(date +%s) - begin)))
    [ "$now" -gt 35 ] || return
    # shellcheck disable=SC2086 # names of parts, and options
    timeout -k 5 $((now + 5)) "$python" studies/populations.py $entry --seconds "$now" \
      --reserve "${RESERVE:-15}" --at-once "${AT_ONCE:-3}" \
      --out "$out/$(case "$entry" in *zoo*) echo zoo-gpu ;; *) echo paper ;; esac).jsonl" 2>&1
  done
}

cpu_share() { # NUMBER SECONDS: members of one, so that no run waits for another
  # shellcheck disable=SC2086
  CUDA_VISIBLE_DEVICES='' timeout -k 5 $(($2 + 5)) "$python" studies/populations.py $zoo --alone \
    --shard "$1/$cores" --seconds "$2" --reserve "${RESERVE:-15}" --at-once 1 \
    --out "$cpu/$1.jsonl" 2>&1
}

copy_records() { cat "$cpu"/*.jsonl > "$out/zoo-cpu.jsonl" 2> /dev/null; true; }

study() {
  local time=$(($(remaining) - 12)) number pids=() copier
  cpu=$(mktemp -d)
  say "$time s for $paper, and $zoo on $cores cores"
  gpu_queue "$((left - 12))" | say_whose gpu &
  pids+=($!)
  for number in $(seq 0 $((cores - 1))); do
    cpu_share "$number" "$time" | grep --line-buffered -v begins | say_whose "core $number" &
    pids+=($!)
  done
  [ "${TESTS_BESIDE:-0}" -eq 0 ] || tests 100 4 | say_whose tests &
  pids+=($!)
  while sleep 5; do copy_records; done &
  copier=$!
  wait "${pids[@]}"
  kill "$copier"
  copy_records
}

exec > >(tee -a "$out/log.txt") 2>&1
setup
for part in "$@"; do
  say "$part"
  case $part in
    tests) tests "${TEST_SECONDS:-90}" "${TEST_PROCESSES:-8}" ;;
    probe) probe "${PROBE_SECONDS:-60}" ;;
    quick) bench "${BENCH_SECONDS:-25}" --quick --only stacked,single ;;
    bench) bench "${BENCH_SECONDS:-90}" ;;
    study) study ;;
    *) echo "no part $part: tests, probe, quick, bench, study"; exit 2 ;;
  esac
done
say "ends; $(remaining) s are left"
