// The peer's handler of one node.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"vmi-service-status/bench/peer/handler"
)

func main() {
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server")
	node := flag.String("node-name", "", "whose VMIs are served")
	pods := flag.String("pods-dir", "", "where the kubelet keeps the pods' directories")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	made, err := handler.New(*kubeconfig, *node, *pods)
	if err != nil {
		log.Fatal(err)
	}
	made.Run(ctx)
}
