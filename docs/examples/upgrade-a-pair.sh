#!/usr/bin/env bash
# Upgrades a pair of hosts, one after the other, while a client asks the shared address every 5 ms: no request may fail.
# Hosts are network namespaces, which need root; everything is removed at the end. Takes some 12 seconds.
#
#   sudo docs/examples/upgrade-a-pair.sh
#
# On real hosts upgrade() below is
#
#   pycarp handover carp0
#   systemctl stop pycarp
#   /opt/pycarp/bin/pip install --upgrade 'pycarp[daemon]'
#   systemctl start pycarp
#
# and with several virtual hosts a handover for each that is MASTER. PYTHON is the interpreter that has pycarp.
set -euo pipefail

python=${PYTHON:-python3}
here=$(cd "$(dirname "$0")" && pwd)
installed=$("$python" -c 'import os, pycarp; print(os.path.dirname(pycarp.__file__))')
work=$(mktemp -d)
net=upgrade$$
declare -A pid=()

on() { ip netns exec "$net-$1" "${@:2}"; }
pycarp() { on "$1" env PYTHONPATH="$work/$1/lib" "$python" -m pycarp "${@:2}" --control "$work/$1/pycarp.sock"; }
now_ms() { echo $((${EPOCHREALTIME/[.,]/} / 1000)); }
say() {
    local ms=$(($(now_ms) - began_ms))
    printf '%2d.%03d s  %s\n' $((ms / 1000)) $((ms % 1000)) "$*"
}

clean_up() {
    local each
    for each in "${pid[@]}"; do kill "$each" 2>/dev/null || true; done
    for each in "${pid[@]}"; do wait "$each" 2>/dev/null || true; done
    for each in a b client switch; do ip netns del "$net-$each" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# A bridge, and three hosts on it.
make_segment() {
    local number=0 each
    ip netns add "$net-switch"
    ip -n "$net-switch" link add br0 type bridge forward_delay 0 mcast_snooping 0
    ip -n "$net-switch" link set br0 up
    for each in a b client; do
        number=$((number + 1))
        ip netns add "$net-$each"
        ip -n "$net-$each" link add eth0 type veth peer name "$each" netns "$net-switch"
        ip -n "$net-switch" link set dev "$each" master br0 up
        ip -n "$net-$each" addr add "192.168.1.$number/24" dev eth0
        ip -n "$net-$each" link set eth0 up
        ip -n "$net-$each" link set lo up
    done
}

# Put a version of pycarp where host $1 finds it; $2 marks the version.
install() {
    rm -rf "$work/$1/lib"
    mkdir -p "$work/$1/lib"
    cp -a "$work/package" "$work/$1/lib/pycarp"
    echo "__version__ += '$2'" >>"$work/$1/lib/pycarp/__init__.py"
}

configure() {
    cat >"$work/$1/carp.toml" <<TOML
[[host]]
name = "carp0"
interface = "eth0"
vhid = 1
advskew = $2
password = "testpass"
addresses = ["192.168.1.50/24"]
TOML
    chmod 600 "$work/$1/carp.toml"
}

start() {
    ip netns exec "$net-$1" env PYTHONPATH="$work/$1/lib" "$python" -m pycarp run "$work/$1/carp.toml" \
        --control "$work/$1/pycarp.sock" --state "$work/$1/state" >>"$work/$1/log" 2>&1 &
    pid[$1]=$!
}

stop() {
    kill "${pid[$1]}"
    wait "${pid[$1]}"
    unset "pid[$1]"
}

# Whether host $1 has the shared address.
is_master() { [ -n "$(ip -n "$net-$1" -o address show to 192.168.1.50)" ]; }

# Wait until host $1 is in state $2, with a look at what costs nothing first.
await() {
    local try
    for try in {1..150}; do
        case $2 in
        MASTER) if is_master "$1"; then return; fi ;;
        BACKUP) if [ -S "$work/$1/pycarp.sock" ] && pycarp "$1" status 2>/dev/null | grep -q BACKUP; then return; fi ;;
        esac
        sleep 0.1
    done
    echo "$1 did not become $2" >&2
    cat "$work/$1/log" >&2
    exit 1
}

upgrade() {
    if is_master "$1"; then
        say "$1: pycarp handover carp0: $(pycarp "$1" handover carp0)"
    fi
    stop "$1"
    install "$1" .after
    start "$1"
    await "$1" BACKUP
    say "$1: upgraded to $(PYTHONPATH=$work/$1/lib "$python" -m pycarp --version)"
}

began_ms=$(now_ms)
make_segment
cp -a "$installed" "$work/package"
"$python" -m compileall -q "$work/package"
for each in a b; do
    mkdir "$work/$each"
    install "$each" .before
    ip netns exec "$net-$each" "$python" "$here/web_requests.py" serve "$each" &
    pid[web-$each]=$!
done
configure a 0
configure b 100
start a
start b
await a MASTER
await b BACKUP
say "a is MASTER, b is BACKUP"

ip netns exec "$net-client" "$python" "$here/web_requests.py" ask 192.168.1.50 >"$work/client" &
pid[client]=$!
sleep 1
upgrade b
upgrade a
# A SYN that the first change of hosts lost is sent again after 1 s; the second change comes later than that.
sleep 1
say "b: the address goes back: $(pycarp b handover carp0)"
await a MASTER
sleep 1

kill "${pid[client]}"
status=0
wait "${pid[client]}" || status=$?
unset "pid[client]"
cat "$work/client"
exit "$status"
