package handler

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"

	"google.golang.org/grpc"
)

// SocketName is in each pod's directory.
const SocketName = "notify.sock"

// sockets are those of the pods, all served by one server.
type sockets struct {
	pods   string
	server *grpc.Server
	mutex  sync.Mutex
	open   map[string]net.Listener
}

// ensure serves a pod's socket, if it is not served yet and its directory is there.
func (s *sockets) ensure(pod string) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if s.open[pod] != nil {
		return nil
	}
	directory, err := os.Open(filepath.Join(s.pods, pod, "volumes/kubernetes.io~empty-dir/service-status"))
	if err != nil {
		return err
	}
	defer func() { _ = directory.Close() }()
	// Through the descriptor, since the path is longer than a socket's address may be.
	address := fmt.Sprintf("/proc/self/fd/%d/%s", directory.Fd(), SocketName)
	if err := os.RemoveAll(filepath.Join(directory.Name(), SocketName)); err != nil {
		return err
	}
	listener, err := net.Listen("unix", address)
	if err != nil {
		return err
	}
	// The launcher is another user; the address is gone with the descriptor, so nothing may be unlinked by it.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(filepath.Join(directory.Name(), SocketName), 0o666); err != nil {
		return err
	}
	s.open[pod] = listener
	go func() { _ = s.server.Serve(listener) }()
	return nil
}

func (s *sockets) remove(pod string) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if listener := s.open[pod]; listener != nil {
		_ = listener.Close()
		delete(s.open, pod)
	}
}
