#!/usr/bin/env bash
# Unpack Debian packages, with all they need, into one folder. Needs no root, no chroot and no namespaces:
# apt resolves and downloads with a private state folder and checks every hash; dpkg-deb unpacks; what is in there is
# run by its own loader (scripts/wrap.sh). Nothing of the machine's own packages is read or changed.
#
#   scripts/unpack-debian.sh DEST SUITE PACKAGE...
#
# The mirror is the one that apt uses already; DEBIAN_MIRROR names another one. Exit code 3: there is no apt here.
set -euo pipefail

dest=$(realpath -m "$1")
suite=$2
shift 2

fail() { echo "unpack-debian: $1" >&2; exit "${2:-1}"; }

for tool in apt-get dpkg-deb dpkg; do
    command -v "$tool" >/dev/null || fail "$tool is missing: this needs Debian or a system made from it." 3
done
keyring=${DEBIAN_KEYRING:-/usr/share/keyrings/debian-archive-keyring.gpg}
[ -r "$keyring" ] || fail "$keyring is missing: install the package debian-archive-keyring." 3
mirror=${DEBIAN_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v -i security | sed -n 's#/*$##;1p')}
[ -n "$mirror" ] || fail "apt knows no mirror: run 'apt-get update' once, or set DEBIAN_MIRROR." 3

state=$(mktemp -d)
fresh="$dest.new.$$"
trap 'rm -rf "$state" "$fresh"' EXIT
mkdir -p "$state"/{etc/apt.conf.d,etc/preferences.d,etc/sources.list.d,etc/trusted.gpg.d} \
    "$state"/{state/lists/partial,cache/archives/partial} "$fresh"
: >"$state/status"
echo "deb [signed-by=$keyring] $mirror $suite main" >"$state/etc/sources.list"

write_config() {
    cat >"$state/apt.conf" <<CONF
APT::Architecture "$(dpkg --print-architecture)";
APT::Architectures "$(dpkg --print-architecture)";
APT::Install-Recommends "false";
APT::Sandbox::User "";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::Check-Valid-Until "$1";
Dir::Etc "$state/etc";
Dir::State "$state/state";
Dir::State::status "$state/status";
Dir::Cache "$state/cache";
DPkg::Post-Invoke { };
APT::Update::Post-Invoke-Success { };
CONF
}
export APT_CONFIG="$state/apt.conf"

update() { apt-get -q update >"$state/log" 2>&1 && ! grep -q '^[EW]: .*\(Failed\|expired\|not valid\)' "$state/log"; }

write_config true
if ! update; then
    if grep -qi 'expired\|not valid' "$state/log"; then
        # A mirror that is frozen on purpose has a lapsed Release file, which is nobody's trouble: signatures and hashes
        # are checked all the same.
        write_config false
        update || { tail -3 "$state/log" >&2; fail "the mirror's index of $suite cannot be read."; }
    else
        tail -3 "$state/log" >&2
        fail "the mirror's index of $suite cannot be read. Is the network up?"
    fi
fi
apt-get -qq -y --download-only -o Debug::NoLocking=true install "$@" >"$state/log" 2>&1 ||
    { tail -3 "$state/log" >&2; fail "cannot get $* from $suite."; }
for package in "$state"/cache/archives/*.deb; do
    dpkg-deb -x "$package" "$fresh"
done
# What is never opened here: documentation, locales, perl.
rm -rf "$fresh"/usr/share/{doc,man,info,locale,lintian,perl,perl5,zoneinfo,bash-completion} \
    "$fresh"/usr/lib/*/perl "$fresh"/usr/lib/*/perl-base "$fresh"/usr/lib/*/gconv
# The link that Asterisk's package would make when it is installed.
for voice in "$fresh"/usr/share/asterisk/sounds/en_US_*; do
    [ -e "$voice" ] && ln -sfn "$(basename "$voice")" "$fresh/usr/share/asterisk/sounds/en"
done
rm -rf "$dest"
mkdir -p "$(dirname "$dest")"
mv "$fresh" "$dest"
