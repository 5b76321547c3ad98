#!/usr/bin/env bash
# Checks delivery.pml with spin: the protocol must hold, and each weakened variant must not.
# spin comes from the PATH, else from Debian's package, unpacked into the cache (not installed).
# RECORDS and MEMBERS bound the model: 3 and 2 take about ten seconds.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${SPOOLSINK_CACHE:-$HOME/.cache/spoolsink}/spin
records=${RECORDS:-3}
members=${MEMBERS:-2}

command -v gcc >/dev/null 2>&1 || { echo "make model: 'gcc' is missing" >&2; exit 1; }
spin=$(command -v spin || true)
if [ -z "$spin" ] && [ ! -x "$cache/usr/bin/spin" ]; then
  command -v apt-get >/dev/null 2>&1 || { echo "make model: 'spin' is missing (spinroot.com)" >&2; exit 1; }
  echo "fetching spin"
  mkdir -p "$cache"
  (cd "$cache" && { apt-get download -qq spin || { apt-get update -qq && apt-get download -qq spin; }; } \
    && dpkg-deb -x spin_*.deb . && rm spin_*.deb) 2>/dev/null
fi
spin=${spin:-$cache/usr/bin/spin}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# Prints the checker's own lines; the last word of its verdict is the number of errors.
check() {
  "$spin" -a -DRECORDS="$records" -DMEMBERS="$members" "$@" "$here/delivery.pml" >spin.log || { cat spin.log; exit 1; }
  gcc -w -O2 -DSAFETY -DCOLLAPSE -DVECTORSZ=2048 -o pan pan.c
  ./pan -m1000000 >pan.log 2>&1
  grep -E 'assertion violated|errors:|states, stored|max search depth' pan.log | sed 's/^/  /'
}

echo "the protocol, $records records and $members members:"
check
grep -q 'errors: 0' pan.log || { echo "the protocol does not hold"; exit 1; }
! grep -q 'max search depth too small' pan.log || { echo "the search was cut short"; exit 1; }

# A model that holds whatever is done to it says nothing.
while read -r expected variant; do
  echo "weakened by $variant, which must break $expected:"
  # shellcheck disable=SC2086
  check $variant
  grep -q "assertion violated.*$expected" pan.log || { echo "not refuted: the model is too weak"; exit 1; }
done <<'VARIANTS'
last\[r\]==0 -DNOFENCE
last\[r\]==0 -DNOINTENT
last\[r\]==0 -DNOFLOOR
last\[r\]!=0 -DEARLY
first\[from\]==from -DNOINTENT -DUNCONDITIONAL
committed!= -DREACH
VARIANTS
