// Package handler is the peer's end on the node.
package handler

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// KubeVirt's limits for virt-handler.
const (
	qps   = 50
	burst = 100
)

var groupVersion = schema.GroupVersion{Group: "kubevirt.io", Version: "v1"}

// VirtualMachineInstance is what the handler reads of one.
type VirtualMachineInstance struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Status            Status `json:"status"`
}

// Status is what the handler reads of a VMI's.
type Status struct {
	NodeName      string            `json:"nodeName"`
	ActivePods    map[string]string `json:"activePods"`
	ServiceStatus struct {
		VncSessions uint32 `json:"vncSessions"`
	} `json:"serviceStatus"`
}

// VirtualMachineInstanceList is a list of them.
type VirtualMachineInstanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []VirtualMachineInstance `json:"items"`
}

// DeepCopyObject is what client-go asks of every object.
func (v *VirtualMachineInstance) DeepCopyObject() runtime.Object {
	copied := *v
	v.ObjectMeta.DeepCopyInto(&copied.ObjectMeta)
	copied.Status.ActivePods = make(map[string]string, len(v.Status.ActivePods))
	for pod, node := range v.Status.ActivePods {
		copied.Status.ActivePods[pod] = node
	}
	return &copied
}

// DeepCopyObject is what client-go asks of every object.
func (l *VirtualMachineInstanceList) DeepCopyObject() runtime.Object {
	copied := *l
	copied.Items = make([]VirtualMachineInstance, len(l.Items))
	for number := range l.Items {
		copied.Items[number] = *l.Items[number].DeepCopyObject().(*VirtualMachineInstance)
	}
	return &copied
}

func newClient(kubeconfig string) (*rest.RESTClient, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", kubeconfig, err)
	}
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(groupVersion, &VirtualMachineInstance{}, &VirtualMachineInstanceList{})
	metav1.AddToGroupVersion(scheme, groupVersion)
	config.GroupVersion = &groupVersion
	config.APIPath = "/apis"
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.QPS, config.Burst = qps, burst
	return rest.RESTClientFor(config)
}
