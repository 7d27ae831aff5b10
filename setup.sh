#!/usr/bin/env bash
# Makes .venv in this checkout: Python 3.11 or 3.12, the packages of requirements.txt, and Horovod
# built against the TensorFlow among them. A call with nothing left to do takes a second.
#
#   make setup                          what fits this machine
#   make setup PYTHON=/path/python3.12  with this Python
#   make setup DEVICE=gpu               CUDA packages although no nvidia-smi is here (a login node)
#   HOROVOD_WITHOUT_MPI=1 make setup    Gloo alone although mpicxx is on the PATH
#
# Every stage looks at what is there, so an interrupted set-up continues at the next call.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")" || exit 2
here=$(pwd -P)
log=.venv/setup.log
stamp=.venv/setup.stamp
wanted=.venv/packages.txt
venv_python=$here/.venv/bin/python
unset PYTHONPATH PYTHONHOME # packages of another environment would pass for ours

# no release after 2.18.1 compiles with Horovod 0.28.1
horovod=0.28.1
# needed by EnergyFlow; pip alone builds it for NumPy 1, and its import then fails with NumPy 2
wasserstein=1.0.1

fail() {
    echo "error: $1" >&2
    exit 2
}

trap 'echo; fail "the set-up was interrupted; run make setup again and it continues."' INT TERM

# ---------------------------------------------------------------- what the machine must bring

has_device_gpu() {
    case "${DEVICE:-}" in
        gpu) return 0 ;;
        cpu) return 1 ;;
        "") ;;
        *) fail "DEVICE is '$DEVICE'; it must be cpu or gpu, as in: make setup DEVICE=gpu." ;;
    esac
    # a set-up made on a GPU node stays one when seen from a login node
    nvidia-smi -L 2>/dev/null | grep -q GPU || grep -qs "device=gpu" "$stamp"
}

has_mpi() {
    [ -z "${HOROVOD_WITHOUT_MPI:-}" ] || return 1
    # Debian's openmpi-bin has the compiler without its headers
    echo '#include <mpi.h>' | mpicxx -E -x c++ - >/dev/null 2>&1 || grep -qs "mpi=yes" "$stamp"
}

cuda_home() { # the CUDA toolkit; prints nothing where the compiler or its headers are missing
    local nvcc
    nvcc=$(command -v "${CUDA_HOME:+$CUDA_HOME/bin/}nvcc") || return
    nvcc=$(readlink -f "$nvcc")
    nvcc=${nvcc%/bin/nvcc}
    if [ -e "$nvcc/include/cuda_runtime.h" ]; then echo "$nvcc"; fi
}

version_of() { "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null </dev/null; }

find_python() { # sets `python` and `version`; a name may exist and still not run (a pyenv shim)
    local name path others="" without_venv=""
    for name in ${PYTHON:-python3.12 python3.11 python3 python}; do
        while read -r path; do
            version=$(version_of "$path") || continue
            case "$version" in
                3.11 | 3.12) ;;
                *) others="$others, $path is $version" && continue ;;
            esac
            python=$path
            "$path" -c 'import ensurepip, venv' 2>/dev/null && return
            without_venv=$version
        done < <(type -aP "$name")
    done
    [ -z "$without_venv" ] || fail "Python $without_venv at $python cannot make an environment;\
 install its venv module (Debian, Ubuntu: apt install python$without_venv-venv) and run make setup\
 again."
    fail "no Python 3.11 or 3.12 was found${others:+ (${others#, })}; install one (Debian, Ubuntu:\
 apt install python3 python3-venv python3-dev) or name it: make setup PYTHON=/path/to/python3.11."
}

need_tools() { # $1: the Python whose extensions will be compiled
    local tool
    for tool in "${CXX:-c++}" "${CC:-cc}"; do
        command -v "${tool%% *}" >/dev/null || fail "no C++ compiler ($tool) was found; Horovod is\
 compiled here: install one (Debian, Ubuntu: apt install g++) or set CC and CXX, then run make\
 setup again."
    done
    for tool in cmake make; do
        command -v $tool >/dev/null || fail "no $tool was found; Horovod is compiled with it:\
 install it (Debian, Ubuntu: apt install $tool) and run make setup again."
    done
    "$1" -c 'import os, sys, sysconfig
sys.exit(not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")))' ||
        fail "the C headers of Python at $1 are missing; install them (Debian, Ubuntu: apt install\
 python$(version_of "$1")-dev) and run make setup again."
}

# ------------------------------------------------------------------------------------- stages

why() { # the sentence for a failed stage, from its part of the log
    if grep -q "No space left on device\|Disk quota exceeded" <<<"$2"; then
        echo "the disk is full; make room and run make setup again, it continues."
    elif grep -qi "name resolution\|new connection\|network is unreachable\|timed out\|ProxyError\|\
Could not find a version" <<<"$2"; then
        echo "a package could not be fetched; check the network (or pip's index and proxy\
 settings), and run make setup again."
    else
        echo "$1 failed; the lines above say why, all of them are in $log. Once mended, run make\
 setup again, it continues."
    fi
}

stage() { # title, then the command
    local title=$1 began=$SECONDS lines
    shift
    printf 'set-up: %s ... ' "$title"
    touch "$log"
    lines=$(wc -l <"$log")
    echo "=== $title" >>"$log"
    if "$@" >>"$log" 2>&1; then
        echo "$((SECONDS - began)) s"
        return
    fi
    echo "failed after $((SECONDS - began)) s"
    local said
    said=$(tail -n "+$((lines + 1))" "$log")
    tail -n 25 <<<"$said" >&2
    fail "$(why "$title" "$said")"
}

pip() { "$venv_python" -m pip --no-input --disable-pip-version-check "$@"; }

make_environment() {
    local kept
    kept=$(cat "$log")
    "$python" -m venv --clear "$here/.venv" || return
    echo "$kept" >"$log"
}

environment_is_whole() {
    case "$(version_of "$venv_python")" in
        3.11 | 3.12) ;;
        *) return 1 ;;
    esac
    # pip writes INSTALLER last; its scripts name the checkout, which may have been moved since
    compgen -G ".venv/lib/python3.*/site-packages/pip-*.dist-info/INSTALLER" >/dev/null &&
        grep -qs "$here/.venv/bin" .venv/bin/pip
}

drop_half_installed() { # pip takes a package for installed as soon as its METADATA is there
    local info
    for info in .venv/lib/python3.*/site-packages/*.dist-info; do
        [ -e "$info/INSTALLER" ] || rm -rf "$info"
    done
}

pins() { sed 's/ *#.*//' "$wanted"; }

are_installed() { # pins, as name==version: is every package there, at its version?
    "$venv_python" - "$@" <<'CHECK'
import sys
from importlib.metadata import PackageNotFoundError, version

for pin in sys.argv[1:]:
    name, _, wanted = pin.partition("==")
    try:
        found = version(name.partition("[")[0])
    except PackageNotFoundError:
        found = "nothing"
    if found != wanted:
        sys.exit(f"{name}: {wanted} is wanted, {found} is installed")
CHECK
}

install_packages() {
    drop_half_installed
    if [ "$device" = gpu ]; then
        pip uninstall --yes tensorflow-cpu # both write the folder tensorflow/
        # this release names the exact CUDA packages it was built for
        pip install --constraint requirements.txt "tensorflow[and-cuda]==$tensorflow" || return
    else
        pip uninstall --yes tensorflow
    fi
    # the list is complete, which pip check proves at the end
    pip install --no-deps --requirement "$wanted"
}

build() { # from source, against the packages that are installed; never from pip's cache
    pip install --no-deps --no-cache-dir --no-build-isolation --force-reinstall --no-binary :all: \
        "$1"
}

energyflow_works() { "$venv_python" -c 'import energyflow'; }

build_horovod() {
    export HOROVOD_WITH_TENSORFLOW=1 HOROVOD_WITHOUT_PYTORCH=1 HOROVOD_WITHOUT_MXNET=1
    export HOROVOD_WITH_GLOO=1
    if [ "$mpi" = yes ]; then export HOROVOD_WITH_MPI=1; else export HOROVOD_WITHOUT_MPI=1; fi
    if [ "$nccl" = yes ]; then nccl_settings; fi
    # GCC 13 and CMake 4 are younger than the Gloo inside Horovod
    export CXXFLAGS="${CXXFLAGS:-} -include cstdint" CMAKE_POLICY_VERSION_MINIMUM=3.5
    MAKEFLAGS=-j$(getconf _NPROCESSORS_ONLN) build "horovod==$horovod"
}

nccl_settings() {
    export HOROVOD_GPU_OPERATIONS=NCCL HOROVOD_CUDA_HOME HOROVOD_NCCL_LINK=SHARED
    HOROVOD_CUDA_HOME=$(cuda_home)
    [ -z "${HOROVOD_NCCL_HOME:-}" ] || return
    # the NCCL that TensorFlow brings lacks the name that the linker looks for
    local wheel
    wheel=$(compgen -G "$here/.venv/lib/python3.*/site-packages/nvidia/nccl")
    mkdir -p .venv/nccl/lib
    ln -sfn "$wheel/include" .venv/nccl/include
    ln -sf "$wheel/lib/libnccl.so.2" .venv/nccl/lib/libnccl.so
    ln -sf "$wheel/lib/libnccl.so.2" .venv/nccl/lib/libnccl.so.2
    export HOROVOD_NCCL_HOME=$here/.venv/nccl
}

horovod_fits() { # was it built against this TensorFlow? It keeps the version
    grep -qs "\"tensorflow\": \"$tensorflow\"" \
        .venv/lib/python3.*/site-packages/horovod/metadata.json
}

horovod_works() {
    horovod_fits && are_installed "horovod==$horovod" && "$venv_python" - "$mpi" "$nccl" <<'CHECK'
import sys

import horovod.tensorflow as hvd

assert hvd.gloo_built(), "Horovod was built without Gloo"
assert hvd.mpi_built() or sys.argv[1] == "no", "Horovod was built without MPI"
assert hvd.nccl_built() or sys.argv[2] == "no", "Horovod was built without NCCL"
CHECK
}

# --------------------------------------------------------------------------------------- main

device=cpu mpi=no nccl=no
if has_device_gpu; then device=gpu; fi
if has_mpi; then mpi=yes; fi
if [ "$device" = gpu ] && [ -n "$(cuda_home)" ]; then nccl=yes; fi
tensorflow=$(sed -n 's/^tensorflow-cpu==//p' requirements.txt)

fingerprint() {
    echo "$(cat setup.sh requirements.txt | cksum) device=$device mpi=$mpi nccl=$nccl" \
        "$(version_of "$venv_python") $here"
}

is_done() {
    [ -e "$stamp" ] && [ "$(fingerprint)" = "$(cat "$stamp")" ] && environment_is_whole &&
        horovod_fits &&
        are_installed $(pins) "wasserstein==$wasserstein" "horovod==$horovod" 2>/dev/null
}

if is_done; then exit 0; fi
# one set-up at a time; where the file system knows no locks this is left to the user
if command -v flock >/dev/null && { exec 9<>requirements.txt; } 2>/dev/null &&
    ! flock --nonblock 9 2>/dev/null; then
    echo "set-up: another one is at work here, waiting for it"
    flock 9 2>/dev/null
    if is_done; then exit 0; fi
fi

began=$SECONDS
if environment_is_whole; then
    need_tools "$venv_python"
else
    if [ -L .venv ] && [ -e .venv/pyvenv.cfg ]; then # of another checkout, it may well be
        fail ".venv is a link to $(readlink .venv), an environment that was not made here and that\
 set-up would empty; remove the link, and run make setup again."
    fi
    find_python
    need_tools "$python"
    mkdir -p .venv
    stage "environment with Python $version ($python)" make_environment
fi
echo "unfinished: $(fingerprint)" >"$stamp" # keeps the device and MPI for the call that continues
if [ "$device" = gpu ]; then
    sed 's/^tensorflow-cpu==/tensorflow[and-cuda]==/' requirements.txt >"$wanted"
else
    cp requirements.txt "$wanted"
fi
if ! are_installed $(pins) >>"$log" 2>&1; then
    stage "packages of requirements.txt (two minutes)" install_packages
fi
if ! energyflow_works >>"$log" 2>&1; then
    stage "wasserstein $wasserstein, compiled for NumPy 2 (half a minute)" \
        build "wasserstein==$wasserstein"
    stage "EnergyFlow imports" energyflow_works
fi
if ! horovod_works >>"$log" 2>&1; then
    with=Gloo
    if [ "$mpi" = yes ]; then with="$with, MPI"; fi
    if [ "$nccl" = yes ]; then with="$with, NCCL"; fi
    stage "Horovod $horovod with $with, compiled for this TensorFlow (three to eight minutes)" \
        build_horovod
    stage "Horovod imports" horovod_works
fi
if [ "$device-$nccl" = gpu-no ]; then
    echo "set-up: no CUDA toolkit (nvcc and its headers) was found, so several GPUs will" \
        "exchange gradients through host memory; with nvcc on the PATH, make setup builds" \
        "Horovod for NCCL"
fi
stage "versions fit together" pip check
fingerprint >"$stamp"
echo "set-up: ready in .venv after $((SECONDS - began)) s"
