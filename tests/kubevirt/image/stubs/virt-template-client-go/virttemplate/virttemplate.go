// Package virttemplate stands in for a clientset of kubevirt.io/virt-template-client-go, which is not among Go's modules.
// There is no client: whoever asks for one is told so. virt-controller asks if the virt-template deployment is enabled,
// and virtctl's `template` commands do.
package virttemplate

import (
	"context"
	"errors"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"kubevirt.io/virt-template-api/core/subresourcesv1beta1"
	"kubevirt.io/virt-template-api/core/v1beta1"
)

var errAbsent = errors.New("this build of KubeVirt has no virt-template")

type Interface interface {
	TemplateV1beta1() TemplateV1beta1Interface
}

type TemplateV1beta1Interface interface {
	RESTClient() rest.Interface
	VirtualMachineTemplates(namespace string) VirtualMachineTemplateInterface
	VirtualMachineTemplateRequests(namespace string) VirtualMachineTemplateRequestInterface
}

type VirtualMachineTemplateInterface interface {
	Get(ctx context.Context, name string, options metav1.GetOptions) (*v1beta1.VirtualMachineTemplate, error)
	Process(
		ctx context.Context, name string, options subresourcesv1beta1.ProcessOptions,
	) (*subresourcesv1beta1.ProcessedVirtualMachineTemplate, error)
	CreateVirtualMachine(
		ctx context.Context, name string, options subresourcesv1beta1.ProcessOptions,
	) (*subresourcesv1beta1.ProcessedVirtualMachineTemplate, error)
}

type VirtualMachineTemplateRequestInterface interface {
	Create(
		ctx context.Context, request *v1beta1.VirtualMachineTemplateRequest, options metav1.CreateOptions,
	) (*v1beta1.VirtualMachineTemplateRequest, error)
}

func NewForConfig(*rest.Config) (Interface, error) { return nil, errAbsent }
