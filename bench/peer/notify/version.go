// Package notify is the API between the peer's launcher and handler; its other files are generated.
package notify

//go:generate sh -c "../../../.venv/bin/python -m grpc_tools.protoc -I . --go_out=paths=source_relative:. --go-grpc_out=paths=source_relative:. notify.proto"

// Version is the one that both ends speak.
const Version = 1
