// Package launcher is the peer's end in the VM's pod.
package launcher

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"

	"vmi-service-status/bench/peer/notify"
)

const (
	// A handler that hangs must not hold up the launcher for longer; KubeVirt's value.
	sendTimeout = 5 * time.Second
	// Changes that wait for a handler that is away. The newest value is sent when it is back, so older ones may go.
	waiting = 64
)

// VMI is whose sessions are told.
type VMI struct{ Namespace, Name, UID string }

// Notifier tells a handler each change of the number of sessions, in order, and the newest one after each reconnect.
type Notifier struct {
	vmi      VMI
	conn     *grpc.ClientConn
	client   notify.NotifyClient
	changes  chan uint32
	sessions atomic.Uint32
	// Sent counts the calls that the handler has answered.
	Sent atomic.Int64
	// Synced counts the connections over which the newest value was told.
	Synced atomic.Int64
}

// Dial makes a notifier for the handler's socket, which need not be there yet.
func Dial(socket string, vmi VMI) (*Notifier, error) {
	params := grpc.ConnectParams{
		// gRPC's own, but for the longest pause: a handler that was upgraded must not wait two minutes for its launchers.
		Backoff:           backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 5 * time.Second},
		MinConnectTimeout: 2 * time.Second,
	}
	conn, err := grpc.NewClient("passthrough:///localhost",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return dialUnix(ctx, socket) }),
		grpc.WithConnectParams(params),
		grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, fmt.Errorf("dialling %s: %w", socket, err)
	}
	return &Notifier{vmi: vmi, conn: conn, client: notify.NewNotifyClient(conn), changes: make(chan uint32, waiting)}, nil
}

// dialUnix goes through the directory's descriptor, since the path may be longer than a socket's address may be.
func dialUnix(ctx context.Context, socket string) (net.Conn, error) {
	directory, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return nil, err
	}
	defer func() { _ = directory.Close() }()
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/%s", directory.Fd(), filepath.Base(socket)))
}

// Change tells that so many sessions are there now. It waits when too many changes are on their way already.
func (n *Notifier) Change(sessions uint32) {
	n.sessions.Store(sessions)
	n.changes <- sessions
}

// Run sends until the context ends.
func (n *Notifier) Run(ctx context.Context) {
	defer func() { _ = n.conn.Close() }()
	for ctx.Err() == nil {
		if err := n.connect(ctx); err != nil {
			continue
		}
		n.converse(ctx)
	}
}

// connect waits for a connection, agrees on a version, and tells the newest value.
func (n *Notifier) connect(ctx context.Context) error {
	n.conn.Connect()
	for state := n.conn.GetState(); state != connectivity.Ready; state = n.conn.GetState() {
		if state == connectivity.Idle {
			n.conn.Connect()
		}
		if !n.conn.WaitForStateChange(ctx, state) {
			return ctx.Err()
		}
	}
	callCtx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	info, err := n.client.Info(callCtx, &notify.InfoRequest{})
	if err != nil {
		return err
	}
	if !slices.Contains(info.GetSupportedVersions(), notify.Version) {
		time.Sleep(time.Second)
		return errors.New("no common version")
	}
	if err := n.send(ctx, n.sessions.Load()); err != nil {
		return err
	}
	n.Synced.Add(1)
	return nil
}

// converse sends changes until the connection is lost.
func (n *Notifier) converse(ctx context.Context) {
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		n.conn.WaitForStateChange(ctx, connectivity.Ready)
	}()
	for {
		select {
		case sessions := <-n.changes:
			if n.send(ctx, sessions) != nil {
				return
			}
		case <-lost:
			return
		}
	}
}

func (n *Notifier) send(ctx context.Context, sessions uint32) error {
	callCtx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	event := &notify.SessionEvent{Namespace: n.vmi.Namespace, Name: n.vmi.Name, Uid: n.vmi.UID, VncSessions: sessions}
	response, err := n.client.HandleSessionEvent(callCtx, event)
	if err != nil {
		return err
	}
	if !response.GetSuccess() {
		return errors.New(response.GetMessage())
	}
	n.Sent.Add(1)
	return nil
}
