#!/usr/bin/env bash
# Builds the Debian package of this tree into packaging/dist, on Debian 12 or newer, in a copy of the tree:
#   packaging/build-deb.sh [FOLDER FOR THE PACKAGE]
# It needs: apt-get install debhelper dh-virtualenv dpkg-dev python3-venv
# First it collects the wheels of all dependencies, from PyPI or wherever pip is told to look; the build itself fetches nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$(realpath -m "${1:-packaging/dist}")
missing=$(for each in debhelper dh-virtualenv dpkg-dev python3-venv; do
    dpkg-query -W -f '${Status}' "$each" 2>/dev/null | grep -q 'ok installed' || echo "$each"
done)
[ -z "$missing" ] || { echo "not installed: $missing; apt-get install $missing" >&2; exit 2; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$out"
git ls-files -z --cached --others --exclude-standard | tar --null -T - -cf - | tar -xf - -C "$(mkdir -p "$scratch/pycarp" && echo "$scratch/pycarp")"
cd "$scratch/pycarp"
/usr/bin/python3 -m venv "$scratch/tools"
mkdir -p packaging/wheels
"$scratch/tools/bin/pip" wheel -q -w packaging/wheels '.[daemon,http,dns,top]'
version=$(PYTHONPATH=src /usr/bin/python3 -c 'import pycarp; print(pycarp.__version__)')
sed -i "1s/(.*)/($version)/" debian/changelog
dpkg-buildpackage --build=binary --no-sign --no-check-builddeps >"$scratch/log" 2>&1 || { tail -50 "$scratch/log" >&2; exit 1; }
cp "$scratch"/*.deb "$out/"
ls "$out"/pycarp_*.deb
