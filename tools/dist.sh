#!/usr/bin/env bash
# `make dist`: wheel and sdist into dist/, a list of materials (CycloneDX) beside them, and the wheel
# tried: installed into a fresh environment, it runs the demo.
set -eu
cd "$(dirname "$0")/.."
tools=build/release/bin
fresh=build/fresh
rm -rf dist "$fresh" build/lib build/bdist.*

"$tools/python" -m build --outdir dist .
"$tools/twine" check --strict dist/*
wheel=$(echo dist/*.whl)

# Without pip in it: what is found there is what the wheel brings.
python3 -m venv --without-pip "$fresh"
install() {
  "$tools/python" -m pip --python "$fresh/bin/python" install --quiet \
    --disable-pip-version-check --constraint requirements.lock "$@"
}
install "$wheel[avro,parquet,protobuf,cbor,msgpack,msk]"
"$tools/cyclonedx-py" environment "$fresh/bin/python" --pyproject pyproject.toml \
  --output-reproducible --output-file "${wheel%-py*}.cdx.json"
install "$wheel[demo]"

# From elsewhere, so that the checkout is not what is imported.
(cd "$fresh" && bin/spoolsink --version && bin/spoolsink demo --seconds 5)
(cd dist && sha256sum -- *.whl *.tar.gz *.json > SHA256SUMS)
rm -rf spoolsink.egg-info build/lib build/bdist.*
ls -l dist
