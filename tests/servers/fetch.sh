#!/usr/bin/env bash
# Fetches Apache Kafka 4.1.0 and Apicurio Registry 3.0.9 (Maven) and builds versitygw 1.7.0 (Go)
# into a cache outside the checkout: $SPOOLSINK_CACHE, else ~/.cache/spoolsink. Does nothing when
# all are there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${SPOOLSINK_CACHE:-$HOME/.cache/spoolsink}
kafka=$cache/kafka-4.1.0
versitygw=$cache/versitygw-1.7.0
promtool=$cache/promtool
apicurio=$cache/apicurio-3.0.9

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
if ! command -v promtool >/dev/null 2>&1 && [ ! -x "$promtool/usr/bin/promtool" ]; then
  # Unpacked, not installed: needs neither root nor a running Prometheus. Elsewhere than on Debian
  # the one test that wants it says that it is missing.
  if command -v apt-get >/dev/null 2>&1; then
    mkdir -p "$promtool"
    echo "fetching promtool"
    (cd "$promtool" && { apt-get download -qq prometheus || { apt-get update -qq && apt-get download -qq prometheus; }; } \
      && dpkg-deb -x prometheus_*.deb . && rm prometheus_*.deb) >/dev/null 2>&1 \
      || echo "make servers: promtool could not be had (Debian's package prometheus)" >&2
  fi
fi
