#!/usr/bin/env bash
# What the tests run against, into a cache outside the checkout: $SPOOLSINK_CACHE, else
# ~/.cache/spoolsink. Apache Kafka and Kafka Connect 4.1.0 and Apicurio Registry 3.0.9 (Maven),
# versitygw 1.7.0 (Go), Prometheus (Debian's package, unpacked), the Python library gssapi 1.12.0.
# Chromium, systemd-analyze, curl and MIT's KDC are installed by apt-get where they are absent. Does
# nothing when all are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${SPOOLSINK_CACHE:-$HOME/.cache/spoolsink}
kafka=$cache/kafka-4.1.0
connect=$cache/connect-4.1.0
versitygw=$cache/versitygw-1.7.0
prometheus=$cache/promtool
apicurio=$cache/apicurio-3.0.9
dockerfile_utils=$cache/dockerfile-utils-0.16.3
gssapi=$cache/gssapi-1.12.0

need() {
  command -v "$1" >/dev/null 2>&1 || { echo "make servers: '$1' is missing ($2)" >&2; exit 1; }
}

if [ ! -e "$kafka/.complete" ]; then
  need java "JDK 17, to run Kafka"
  need mvn "Maven, to fetch Kafka's jars"
  mkdir -p "$kafka"
  echo "fetching Apache Kafka 4.1.0"
  mvn -q -B -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$kafka"
  touch "$kafka/.complete"
fi
if [ ! -e "$connect/.complete" ]; then
  need java "JDK 17, to run Kafka Connect"
  need mvn "Maven, to fetch Kafka Connect's jars"
  mkdir -p "$connect"
  echo "fetching Kafka Connect 4.1.0"
  mvn -q -B -f "$here/pom-connect.xml" dependency:copy-dependencies -DoutputDirectory="$connect"
  touch "$connect/.complete"
fi
if [ ! -x "$versitygw/versitygw" ]; then
  need go "Go, to build the S3 server"
  mkdir -p "$versitygw"
  echo "building versitygw 1.7.0"
  GOBIN=$versitygw GOFLAGS=-mod=mod go install github.com/versity/versitygw/cmd/versitygw@v1.7.0
fi
if [ ! -e "$apicurio/.complete" ]; then
  need java "JDK 17, to run the schema registry"
  need mvn "Maven, to fetch the schema registry"
  mkdir -p "$apicurio"
  echo "fetching Apicurio Registry 3.0.9"
  mvn -q -B dependency:copy -DoutputDirectory="$apicurio" \
    -Dartifact=io.apicurio:apicurio-registry-app:3.0.9:tar.gz:all
  tar -xzf "$apicurio/apicurio-registry-app-3.0.9-all.tar.gz" -C "$apicurio"
  rm "$apicurio/apicurio-registry-app-3.0.9-all.tar.gz"
  touch "$apicurio/.complete"
fi
if ! command -v prometheus >/dev/null 2>&1 && [ ! -x "$prometheus/usr/bin/prometheus" ]; then
  # Unpacked, not installed: needs neither root nor a running Prometheus.
  need apt-get "to fetch Prometheus; elsewhere than on Debian install prometheus and promtool"
  mkdir -p "$prometheus"
  echo "fetching Prometheus"
  (cd "$prometheus" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
    && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb) >/dev/null 2>&1 \
    || { echo "make servers: Debian's package prometheus could not be had" >&2; exit 1; }
fi
if [ ! -e "$dockerfile_utils/.complete" ]; then
  need npm "Node, to check the Dockerfile"
  mkdir -p "$dockerfile_utils"
  echo "fetching dockerfile-utils 0.16.3"
  npm install --prefix "$dockerfile_utils" --silent --no-fund --no-audit dockerfile-utils@0.16.3
  touch "$dockerfile_utils/.complete"
fi

# install PACKAGE WHAT_FOR: with root's rights, or sudo's where it asks for no password.
install() {
  if [ "$(id -u)" = 0 ]; then root=; elif sudo -n true 2>/dev/null; then root="sudo -n"; else
    echo "make servers: the package $1 is missing ($2): apt-get install $1 as root" >&2
    exit 1
  fi
  need apt-get "to install $1 ($2)"
  echo "installing $1"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086 # no root: no word
  { $root apt-get install -qq -y --no-install-recommends "$1" \
    || { $root apt-get update -qq && $root apt-get install -qq -y --no-install-recommends "$1"; }; } >/dev/null \
    || { echo "make servers: the package $1 could not be installed ($2)" >&2; exit 1; }
}

if ! command -v chromium >/dev/null 2>&1 && ! command -v google-chrome >/dev/null 2>&1; then
  install chromium "to look at the status page"
fi
command -v systemd-analyze >/dev/null 2>&1 || install systemd "to check the units"
command -v curl >/dev/null 2>&1 || install curl "to type what the runbook says"

PATH=$PATH:/usr/sbin # a KDC's tools are no user's
command -v krb5kdc >/dev/null 2>&1 || install krb5-kdc "to log in with Kerberos"
command -v kadmin.local >/dev/null 2>&1 || install krb5-admin-server "to make Kerberos's keys"
if [ ! -e "$gssapi/.complete" ]; then
  command -v krb5-config >/dev/null 2>&1 || install libkrb5-dev "to build gssapi"
  python=$here/../../.venv/bin/python
  [ -x "$python" ] || { echo "make servers: no .venv (make install)" >&2; exit 1; }
  echo "building gssapi 1.12.0"
  # Not optimised: it logs in a few times; 32 s of CPU to build instead of 80.
  CFLAGS="-O0 -g0" "$python" -m pip install --quiet --disable-pip-version-check --no-binary gssapi \
    --upgrade --target "$gssapi" gssapi==1.12.0 decorator==5.3.1
  touch "$gssapi/.complete"
fi
