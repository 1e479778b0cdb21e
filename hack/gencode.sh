#!/usr/bin/env bash
# Generates the Python code of proto/servicestatus: hack/gencode.sh [FOLDER]. Without FOLDER it replaces the code that is
# committed in the package servicestatus, and the reference of the companion object; `make lint` generates into a folder of its
# own and compares.
. "$(dirname "$0")/common.sh"

out=${1:-.}
if [[ $out == . ]]; then find servicestatus -name '*_pb2*.py*' -not -path '*/__pycache__/*' -delete; fi

# Sorted, so that the order of a directory cannot show in the result. Messages get their types from protoc (.pyi);
# protoc writes none for services, so mypy-protobuf does.
find proto -name '*.proto' -print0 | LC_ALL=C sort -z | xargs -0 \
  "$VENV/bin/python" -m grpc_tools.protoc --proto_path=proto --plugin="$VENV/bin/protoc-gen-mypy_grpc" \
  --python_out="$out" --pyi_out="$out" --grpc_python_out="$out" --mypy_grpc_out="quiet:$out"

if [[ $out == . ]]; then "$VENV/bin/python" hack/companion_reference.py && "$VENV/bin/python" hack/companion_go.py && "$VENV/bin/python" hack/reference_tables.py; fi
