// The peer's launcher side: libvirt's graphics events of one domain become calls to the handler.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"
	"time"

	"libvirt.org/go/libvirt"

	"vmi-service-status/bench/peer/launcher"
)

func main() {
	uri := flag.String("libvirt-uri", "qemu:///session", "where libvirt is")
	domain := flag.String("domain", "", "whose sessions are counted")
	socket := flag.String("handler-socket", "", "where the handler is")
	var vmi launcher.VMI
	flag.StringVar(&vmi.Namespace, "namespace", "", "of the VMI")
	flag.StringVar(&vmi.Name, "name", "", "of the VMI")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	notifier, err := launcher.Dial(*socket, vmi)
	if err != nil {
		log.Fatal(err)
	}
	connection, err := subscribe(*uri, *domain, notifier)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _, _ = connection.Close() }()
	notifier.Run(ctx)
}

// subscribe counts the domain's sessions: one begins when its handshake is over, and each end is one's.
func subscribe(uri, name string, notifier *launcher.Notifier) (*libvirt.Connect, error) {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		return nil, err
	}
	go func() {
		for {
			if err := libvirt.EventRunDefaultImpl(); err != nil {
				log.Print(err)
				time.Sleep(time.Second)
			}
		}
	}()
	connection, err := libvirt.NewConnectReadOnly(uri)
	if err != nil {
		return nil, err
	}
	domain, err := connection.LookupDomainByName(name)
	if err != nil {
		return nil, err
	}
	var sessions uint32
	// libvirt calls from one thread, one call after the other.
	_, err = connection.DomainEventGraphicsRegister(domain, func(_ *libvirt.Connect, _ *libvirt.Domain, event *libvirt.DomainEventGraphics) {
		switch {
		case event.Phase == libvirt.DOMAIN_EVENT_GRAPHICS_INITIALIZE:
			sessions++
		case event.Phase == libvirt.DOMAIN_EVENT_GRAPHICS_DISCONNECT && sessions > 0:
			sessions--
		default:
			return
		}
		notifier.Change(sessions)
	})
	return connection, err
}
