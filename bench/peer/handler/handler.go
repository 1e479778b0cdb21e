package handler

import (
	"context"
	"encoding/json"
	"log"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"vmi-service-status/bench/peer/notify"
)

const (
	resource = "virtualmachineinstances"
	// Writes under way at once; virt-handler's number of workers.
	workers = 10
)

// Handler serves the launchers of one node.
type Handler struct {
	notify.UnimplementedNotifyServer
	node    string
	client  *rest.RESTClient
	queue   workqueue.TypedRateLimitingInterface[string]
	vmis    cache.Store
	sockets *sockets
	mutex   sync.RWMutex
	// The newest number of sessions that each VMI's launcher has told.
	sessions map[string]uint32
}

// New makes a handler; nothing is opened before Run.
func New(kubeconfig, node, pods string) (*Handler, error) {
	client, err := newClient(kubeconfig)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	handler := &Handler{
		node:     node,
		client:   client,
		queue:    workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]()),
		sockets:  &sockets{pods: pods, server: server, open: map[string]net.Listener{}},
		sessions: map[string]uint32{},
	}
	notify.RegisterNotifyServer(server, handler)
	return handler, nil
}

// Run serves until the context ends.
func (h *Handler) Run(ctx context.Context) {
	selector := labels.Set{"kubevirt.io/nodeName": h.node}.String()
	list := cache.NewFilteredListWatchFromClient(h.client, resource, metav1.NamespaceAll, func(options *metav1.ListOptions) {
		options.LabelSelector = selector
	})
	store, controller := cache.NewInformerWithOptions(cache.InformerOptions{
		ListerWatcher: list,
		ObjectType:    &VirtualMachineInstance{},
		Handler: cache.ResourceEventHandlerFuncs{
			AddFunc:    func(found any) { h.changed(found.(*VirtualMachineInstance)) },
			UpdateFunc: func(_, found any) { h.changed(found.(*VirtualMachineInstance)) },
			DeleteFunc: h.deleted,
		},
	})
	h.vmis = store
	go controller.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), controller.HasSynced) {
		return
	}
	log.Print("synced")
	for range workers {
		go h.work(ctx)
	}
	<-ctx.Done()
	h.queue.ShutDown()
	h.sockets.server.Stop()
}

func (h *Handler) changed(vmi *VirtualMachineInstance) {
	for pod, node := range vmi.Status.ActivePods {
		if node == h.node {
			if err := h.sockets.ensure(pod); err != nil {
				log.Printf("pod %s: %v", pod, err)
			}
		}
	}
	h.queue.Add(key(vmi.Namespace, vmi.Name))
}

func (h *Handler) deleted(found any) {
	if unknown, ok := found.(cache.DeletedFinalStateUnknown); ok {
		found = unknown.Obj
	}
	vmi, ok := found.(*VirtualMachineInstance)
	if !ok {
		return
	}
	for pod := range vmi.Status.ActivePods {
		h.sockets.remove(pod)
	}
	h.mutex.Lock()
	delete(h.sessions, key(vmi.Namespace, vmi.Name))
	h.mutex.Unlock()
}

// Info says which versions this handler speaks.
func (h *Handler) Info(context.Context, *notify.InfoRequest) (*notify.InfoResponse, error) {
	return &notify.InfoResponse{SupportedVersions: []uint32{notify.Version}}, nil
}

// HandleSessionEvent takes a change; it is written later.
func (h *Handler) HandleSessionEvent(_ context.Context, event *notify.SessionEvent) (*notify.Response, error) {
	name := key(event.GetNamespace(), event.GetName())
	h.mutex.Lock()
	h.sessions[name] = event.GetVncSessions()
	h.mutex.Unlock()
	h.queue.Add(name)
	return &notify.Response{Success: true}, nil
}

func (h *Handler) work(ctx context.Context) {
	for {
		name, stop := h.queue.Get()
		if stop {
			return
		}
		if err := h.write(ctx, name); err != nil {
			log.Printf("%s: %v", name, err)
			h.queue.AddRateLimited(name)
		} else {
			h.queue.Forget(name)
		}
		h.queue.Done(name)
	}
}

// write brings the VMI's status to what its launcher has told, if this is the node that may.
func (h *Handler) write(ctx context.Context, name string) error {
	h.mutex.RLock()
	wanted, told := h.sessions[name]
	h.mutex.RUnlock()
	found, exists, err := h.vmis.GetByKey(name)
	if err != nil || !exists || !told {
		return err
	}
	vmi := found.(*VirtualMachineInstance)
	if vmi.Status.NodeName != h.node || vmi.Status.ServiceStatus.VncSessions == wanted {
		return nil
	}
	body, err := json.Marshal(patch(vmi, wanted))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer := &VirtualMachineInstance{}
	err = h.client.Patch(types.JSONPatchType).Namespace(vmi.Namespace).Resource(resource).Name(vmi.Name).
		Body(body).Do(ctx).Into(answer)
	if err != nil {
		return err
	}
	// As virt-handler does not: what was written is known before the watch tells, so it is not written twice.
	return h.vmis.Update(answer)
}

type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// patch changes one field, and nothing if the VMI is another one or somebody else's by then.
func patch(vmi *VirtualMachineInstance, sessions uint32) []operation {
	const field = "/status/serviceStatus"
	guard := []operation{{"test", "/metadata/uid", vmi.UID}, {"test", "/status/nodeName", vmi.Status.NodeName}}
	if sessions == 0 {
		return append(guard, operation{"add", field, struct{}{}}, operation{"remove", field, nil})
	}
	return append(guard, operation{"add", field, map[string]uint32{"vncSessions": sessions}})
}

func key(namespace, name string) string { return namespace + "/" + name }
