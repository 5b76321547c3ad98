#!/usr/bin/env bash
# make deb: dist/spoolsink_VERSION_ARCH.deb, for the Debian whose python3 is of the same version as
# the one here. The program and its libraries, as pinned in requirements.lock, lie below
# /usr/lib/spoolsink, apart from the system's own; units, user and a command come with them.
#   build.sh [EXTRAS [DIRECTORY]]     EXTRAS as in spoolsink[...], '' for none
# PIP_OPTIONS and DPKG_OPTIONS are for the test, which neither waits for libraries nor for xz.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
extras=${1-avro,parquet,protobuf,cbor,msgpack,msk}
into=${2:-$source/dist}
python=${PYTHON:-$source/.venv/bin/python}
for tool in dpkg-deb "$python"; do
  command -v "$tool" >/dev/null 2>&1 || { echo "make deb: $tool is missing" >&2; exit 1; }
done

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$work/source" "$root/DEBIAN" "$root/usr/bin" "$root/usr/lib/systemd/system" \
  "$root/usr/lib/sysusers.d" "$root/usr/share/doc/spoolsink/examples" \
  "$root/usr/share/doc/spoolsink/docs" "$into"
# A copy, so that nothing is built in the checkout.
cp -r "$source/pyproject.toml" "$source/README.md" "$source/LICENSE" "$source/spoolsink" "$work/source"
# shellcheck disable=SC2086 # options are words
"$python" -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-compile \
  ${PIP_OPTIONS-} \
  --constraint "$source/requirements.lock" --target "$root/usr/lib/spoolsink" \
  "$work/source${extras:+[$extras]}"
find "$root" -name __pycache__ -prune -exec rm -rf {} +
# Headers and tests of Arrow, and commands of the libraries.
rm -rf "$root/usr/lib/spoolsink/bin" "$root/usr/lib/spoolsink/pyarrow"/include \
  "$root/usr/lib/spoolsink/pyarrow"/src "$root/usr/lib/spoolsink/pyarrow"/tests

install -m 0755 "$here/spoolsink" "$root/usr/bin/spoolsink"
install -m 0644 "$here"/../systemd/*.service "$root/usr/lib/systemd/system/"
install -m 0644 "$here/../systemd/spoolsink.sysusers.conf" "$root/usr/lib/sysusers.d/spoolsink.conf"
install -m 0644 "$here/spoolsink.example.yaml" "$root/usr/share/doc/spoolsink/examples/spoolsink.yaml"
install -m 0644 "$source/LICENSE" "$root/usr/share/doc/spoolsink/copyright"
# Whoever is paged is on this host, perhaps without the network.
install -m 0644 "$source"/docs/*.md "$root/usr/share/doc/spoolsink/docs/"
install -m 0644 "$here/../prometheus/spoolsink.rules.yaml" "$root/usr/share/doc/spoolsink/examples/"
install -d -m 0755 "$root/etc/spoolsink"

version=$("$python" -c 'import spoolsink; print(spoolsink.__version__)')
architecture=$(dpkg --print-architecture)
# Compiled libraries fit one minor version of Python.
minor=$("$python" -c 'import sys; print(sys.version_info.minor)')
sed -e "s/@VERSION@/$version/" -e "s/@ARCHITECTURE@/$architecture/" -e "s/@MINOR@/$minor/" \
  -e "s/@NEXT@/$((minor + 1))/" -e "s/@SIZE@/$(du -sk "$root" | cut -f1)/" \
  "$here/control" > "$root/DEBIAN/control"
for script in postinst prerm postrm; do
  install -m 0755 "$here/$script" "$root/DEBIAN/$script"
done
# shellcheck disable=SC2086
dpkg-deb --root-owner-group ${DPKG_OPTIONS-} --build "$root" "$into/spoolsink_${version}_${architecture}.deb" >/dev/null
echo "$into/spoolsink_${version}_${architecture}.deb"
