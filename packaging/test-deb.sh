#!/usr/bin/env bash
# Installs a Debian package of pycarp on a fresh Debian in a folder, and runs a pair of it in network namespaces:
#   sudo packaging/test-deb.sh PACKAGE.deb [FOLDER WITH A FRESH DEBIAN, WHICH IS COPIED]
# Without a folder debootstrap makes one. No init system is started, and nothing of this machine but its kernel is used:
# both hosts have a root, a /run, a /tmp, a /proc and a network of their own.
set -euo pipefail
[ "$(id -u)" = 0 ] || { echo "it needs root" >&2; exit 2; }
package=$(realpath "$1")
scratch=$(mktemp -d)
tag=pcdeb$$
holders=()

clean() {
    for each in "${holders[@]}"; do kill "$each" 2>/dev/null || true; done
    for each in a b switch; do
        ip netns pids "$tag-$each" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
        ip netns del "$tag-$each" 2>/dev/null || true
    done
    rm -rf --one-file-system "$scratch"
}
trap clean EXIT
say() { printf '%s\n' "== $*"; }

if [ $# -gt 1 ]; then
    cp -a --one-file-system "$2" "$scratch/root"
else
    unshare --mount --propagation private debootstrap --variant=minbase --include=python3,iproute2 \
        bookworm "$scratch/root" >"$scratch/debootstrap.log"
fi

say "install"
install -m 644 "$package" "$scratch/root/pycarp.deb"
unshare --mount --propagation private sh -ec "
    for each in run tmp; do mount -t tmpfs tmpfs '$scratch/root'/\$each; done
    mount -t proc proc '$scratch/root/proc'
    printf '#!/bin/sh\nexit 101\n' >'$scratch/root/usr/sbin/policy-rc.d'; chmod 755 '$scratch/root/usr/sbin/policy-rc.d'
    chroot '$scratch/root' dpkg -i /pycarp.deb"
rm "$scratch/root/pycarp.deb"

say "network"
ip netns add "$tag-switch"
ip -n "$tag-switch" link add br0 type bridge
ip -n "$tag-switch" link set br0 up
number=0
declare -A pid
for host in a b; do
    number=$((number + 1))
    ip netns add "$tag-$host"
    ip -n "$tag-$host" link add eth0 type veth peer name "$host" netns "$tag-switch"
    ip -n "$tag-switch" link set dev "$host" master br0 up
    ip -n "$tag-$host" addr add "192.0.2.$number/24" dev eth0
    ip -n "$tag-$host" link set lo up
    ip -n "$tag-$host" link set eth0 up
    cp -a --one-file-system --reflink=auto "$scratch/root" "$scratch/$host"
    # The holder keeps the mounts of the host; it ends with this script.
    ip netns exec "$tag-$host" unshare --mount --uts --propagation private sh -ec "
        hostname $host
        for each in run tmp; do mount -t tmpfs tmpfs '$scratch/$host'/\$each; done
        mount -t proc proc '$scratch/$host/proc'
        touch '$scratch/$host.ready'
        exec sleep 600" &
    pid[$host]=$!
    holders+=("$!")
    until [ -e "$scratch/$host.ready" ]; do sleep 0.1; done
done
on() {
    local host=$1
    shift
    nsenter --target "${pid[$host]}" --mount --uts --net chroot "$scratch/$host" "$@"
}

say "what is installed"
on a pycarp --version
on a getent passwd pycarp
on a stat -c '%A %U:%G %n' /etc/pycarp /lib/systemd/system/pycarp.service /usr/share/man/man1/pycarp.1.gz \
    /usr/share/bash-completion/completions/pycarp
grep -q '^ExecStart=/usr/bin/pycarp run /etc/pycarp/carp.toml' "$scratch/a/lib/systemd/system/pycarp.service"

say "a pair"
on a pycarp init --address 192.0.2.10 --hosts a,b --for 1s --output /root >/dev/null
for host in a b; do
    if [ "$host" = b ]; then cp -p "$scratch"/a/root/*.toml "$scratch"/a/root/*.password "$scratch/b/root/"; fi
    on "$host" sh -ec "
        install -m 640 -g pycarp /root/$host.toml /etc/pycarp/carp.toml
        install -m 640 -g pycarp /root/carp1.password /etc/pycarp/"
    on "$host" pycarp check --strict /etc/pycarp/carp.toml
    on "$host" pycarp run /etc/pycarp/carp.toml >"$scratch/$host.log" 2>&1 &
done
state() { on "$1" pycarp status --json 2>/dev/null | sed -n 's/^ *"state": "\([A-Z]*\)".*/\1/p' | head -1; }
wait_for() {
    for _ in $(seq 150); do
        [ "$(state "$1")" = "$2" ] && return
        sleep 0.2
    done
    echo "$1 is not $2: $(state "$1")" >&2
    cat "$scratch/$1.log" >&2
    exit 1
}
wait_for a MASTER
wait_for b BACKUP
on a pycarp status
grep -h "runs as user" "$scratch/a.log"
on a pycarp handover carp1
wait_for b MASTER

say "remove"
on b sh -ec 'kill $(cat /proc/[0-9]*/stat 2>/dev/null | sed -n "s/^\([0-9]*\) (pycarp).*/\1/p") 2>/dev/null' || true
on a dpkg --purge pycarp
[ ! -e "$scratch/a/usr/lib/pycarp" ] || { find "$scratch/a/usr/lib/pycarp" | head >&2; exit 1; }
[ -e "$scratch/a/etc/pycarp/carp.toml" ] || { echo "the configuration is gone" >&2; exit 1; }
say "well"
